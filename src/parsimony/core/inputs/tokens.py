"""What texts and instructions share: a tokenizer, and rows of token ids."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from parsimony.core import artifacts, cost, pretrained
from parsimony.core.data import TaskData
from parsimony.core.errors import InputError
from parsimony.core.inputs import stored
from parsimony.core.inputs.base import Inputs
from parsimony.core.inputs.stored import StoredRows
from parsimony.core.pretrained import Pretrained
from parsimony.core.scoring import Collator, Rows

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CHUNK = 1000  # rows encoded at a time


class TokenInputs(Inputs):
    """Rows through the model's tokenizer, each at most ``window`` tokens long."""

    unit = "tokens"
    things = "texts"

    def __init__(self, model: Pretrained, task: str) -> None:
        self.task = task
        self.processor = pretrained.tokenizer(model)
        self.collator = Collator(self.processor, task)

    @abstractmethod
    def encode(self, table: pd.DataFrame, window: int) -> Rows: ...

    def teaches(self, row: dict[str, Any]) -> bool:
        """Whether an encoded row has something to learn; others are not kept."""
        return True

    def longest(self, config: PretrainedConfig) -> int:
        """512 where the config does not say."""
        said = getattr(config, "max_position_embeddings", None) or 512
        return int(min(said, self.processor.model_max_length))

    def fit(
        self, lengths: list[int], most: int, given: int | None, *, least: int, cap: int
    ) -> tuple[int, list[str]]:
        """(window, sentences about it and about what it cuts).

        Args:
            lengths: of the training rows, in tokens.
            most: that the model takes.
            given: what the user asks for.
            least: that makes sense.
            cap: where nothing is given.

        Raises:
            InputError: ``given`` is not in ``least`` to ``most``.
        """
        if given is not None:
            if not least <= given <= most:
                raise InputError(
                    f"--window must be {least} to {most} tokens for this model", got=given
                )
            window, source = given, "given"
        else:
            covering = sorted(lengths)[min(len(lengths) - 1, int(0.95 * len(lengths)))]
            window = min(most, cap, max(8, -(-covering // 8) * 8))
            source = f"default: covers 95 % of the training {self.things}, at most {min(most, cap)}"
        notices = [f"window: {window} tokens ({source})"]
        if longer := sum(length > window for length in lengths):
            notices.append(
                f"{longer} of {len(lengths)} training {self.things} ({longer / len(lengths):.1%}) "
                "are longer than the window and are cut"
            )
        return window, notices

    def keep(self, data: TaskData, folder: Path, window: int) -> dict[str, int]:
        """Copy the used columns of every split, and write their ids for trainings to map."""
        counts = {}
        for name, table in data.splits.items():
            used: list[int] = []
            stored.write(self._useful(table, window, used), folder / f"{name}.arrow")
            keep_table(table.iloc[used], folder / f"{name}.parquet")
            counts[name] = len(used)
        return counts

    def _useful(
        self, table: pd.DataFrame, window: int, used: list[int]
    ) -> Iterator[dict[str, Any]]:
        """Encoded rows that teach something; their positions go to ``used``."""
        for start in range(0, len(table), CHUNK):
            rows = self.encode(table.iloc[start : start + CHUNK], window)
            for offset in range(len(rows)):
                row = rows[offset]
                if self.teaches(row):
                    used.append(start + offset)
                    yield row

    def kept(self, folder: Path, split: str, window: int, limit: int | None = None) -> StoredRows:
        return StoredRows(folder / f"{split}.arrow", limit)

    def example(
        self, config: PretrainedConfig, batch: int, window: int
    ) -> Callable[[], dict[str, Any]]:
        made: Callable[[], dict[str, Any]] = cost.text_batch(config, self.task, batch, window)
        return made


def keep_table(table: pd.DataFrame, file: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    table.to_parquet(temporary, index=False)
    artifacts.write_bytes(file, temporary.read_bytes())
    temporary.unlink()
