"""What a checkpoint format is: which codes it holds, and the tensors and settings it keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from parsimony.compress.codebooks import BlockCodes
from parsimony.compress.grid import Codes
from parsimony.compress.llm_int8 import RowCodes
from parsimony.core.registry import discover

AnyCodes = Codes | BlockCodes | RowCodes


class Format(ABC):
    """A way to store some of a model's layers in codes, such that transformers reads it.

    Args:
        layers: those in codes, by name, ``Linear`` or ``Conv1D``.
        codes: of each, shape (outputs, inputs).
        activations: bits that each token's inputs of those layers are rounded to when the model
            runs; ``None`` for float.

    Raises:
        InputError: the format cannot store them, or what it stores would not be read back.
    """

    name: ClassVar[str]
    extra: ClassVar[str | None] = None  # package that reads it, beside transformers

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        codes: Mapping[str, AnyCodes],
        activations: int | None = None,
    ) -> None:
        self.layers, self.codes, self.activations = layers, codes, activations
        self.check()

    @classmethod
    @abstractmethod
    def holds(cls, codes: AnyCodes, layer: nn.Module) -> bool:
        """Whether this is the format for such codes of such a layer."""

    @abstractmethod
    def check(self) -> None:
        """Refuse what would not be read back."""

    @abstractmethod
    def tensors(self, name: str) -> dict[str, Tensor]:
        """What is stored for a layer instead of its ``weight``, by the last part of the name."""

    @abstractmethod
    def settings(self, model: nn.Module) -> dict[str, Any]:
        """``quantization_config`` of the model's ``config.json``."""

    def ready(self, reloaded: nn.Module) -> None:  # noqa: B027 most formats need nothing
        """Settle a reloaded model before its first pass."""

    @abstractmethod
    def weight(self, layer: nn.Module) -> Tensor:
        """A reloaded layer's weight in float, shape (outputs, inputs), after the first pass."""


def formats() -> dict[str, type[Format]]:
    """All formats by name."""
    return discover("parsimony.compress.export", Format)
