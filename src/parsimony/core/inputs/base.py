"""The path from rows of a data set to batches of a model, whatever the rows hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from parsimony.core.pretrained import ANSWERS

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PretrainedConfig

    from parsimony.core.data import TaskData
    from parsimony.core.pretrained import Pretrained
    from parsimony.core.scoring import Collate, Rows


class Inputs(ABC):
    """One kind of input, for one model and task.

    Attributes:
        unit: what a window counts, in the plural.
        things: what a row holds, in the plural.
        processor: transformers' tokenizer or feature extractor.
        collator: makes a batch of rows.
    """

    unit: ClassVar[str]
    things: ClassVar[str]
    processor: Any
    collator: Collate

    @abstractmethod
    def longest(self, config: PretrainedConfig) -> int:
        """The longest input that a model takes, in ``unit``."""

    @abstractmethod
    def window(
        self, data: TaskData, config: PretrainedConfig, given: int | None
    ) -> tuple[int, list[str]]:
        """(longest input of this run in ``unit``, sentences about it and about what it cuts).

        Args:
            data: its train split decides where nothing is given.
            config: the model's own.
            given: what the user asks for.

        Raises:
            InputError: the model cannot take what is given.
        """

    @abstractmethod
    def keep(self, data: TaskData, folder: Path, window: int) -> dict[str, int]:
        """Write what training needs of every split, so that a run resumes without its source.

        Returns:
            Rows kept of each split: those in which the window leaves something to learn.
        """

    @abstractmethod
    def kept(self, folder: Path, split: str, window: int, limit: int | None = None) -> Rows:
        """A split that ``keep`` wrote, or its first ``limit`` rows."""

    @abstractmethod
    def checked(self, rows: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
        """Rows of a user without labels, in the columns that ``encode`` reads.

        Args:
            rows: as given, indexed by row number.
            columns: those of the training data.
            name: of their file, for errors.

        Raises:
            DataError: a missing column; a cell that no model can read.
        """

    @abstractmethod
    def encode(self, table: pd.DataFrame, window: int) -> Rows:
        """Rows in memory, cut at ``window``."""

    @abstractmethod
    def longer(self, table: pd.DataFrame, window: int) -> int:
        """How many rows a window cuts."""

    @abstractmethod
    def example(
        self, config: PretrainedConfig, batch: int, window: int
    ) -> Callable[[], dict[str, torch.Tensor]]:
        """Makes inputs of the largest batch, labels included, for ``cost.trace_step``."""

    def save(self, folder: Path, window: int) -> None:
        """Write ``processor`` beside a model that was trained with this window."""
        self.processor.save_pretrained(folder)


def frames_of(task: str, window: int) -> int | None:
    """The window where it shapes the model itself, as the frames of sounds do."""
    return window if task == "audio-classification" else None


def of(model: Pretrained, task: str) -> Inputs:
    """The inputs of a model for a task (see ``core.data.Task``).

    Raises:
        InputError: the model's folder lacks its tokenizer or feature extractor.
    """
    if task == "audio-classification":
        from parsimony.core.inputs.sound import SoundInputs

        return SoundInputs(model)
    if task in ANSWERS:
        from parsimony.core.inputs.instruction import InstructionInputs

        return InstructionInputs(model, task)
    from parsimony.core.inputs.text import TextInputs

    return TextInputs(model, task)
