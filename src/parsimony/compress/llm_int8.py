"""LLM.int8(): weights and activations in 8 bits, the columns of large activations in float.

Dettmers et al. 2022 (arXiv 2208.07339), section 3: a weight has one absmax per output row, an
activation one per token, codes are round(127 x / absmax), and features in which some token reaches
the threshold are left out of the 8-bit product and multiplied in float. bitsandbytes' layers do
this in evaluation mode (a token's absmax there counts the small values of those features too);
while they train on the CPU their activations stay in float. Here it is plain torch, for figures of
quality on any machine: codes are multiplied in float32, and no faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from parsimony.core.errors import InputError


@dataclass(frozen=True)
class Int8Rows:
    """Rounding of a weight to 8 bits with one absmax per output row."""

    def __str__(self) -> str:
        return "int8"

    def codes(self, weight: Tensor, *, name: str = "the weight") -> RowCodes:
        """Round a weight, shape (outputs, inputs), floating point.

        Raises:
            InputError: NaN or infinite values; ``name`` is the layer's.
        """
        bad = int((~weight.isfinite()).sum())
        if bad:
            raise InputError(
                f"{name}: values to quantize must be finite",
                got=f"{bad} NaN or infinite of {weight.numel()}",
            )
        return RowCodes(*_rounded(weight.detach().float()), weight.dtype)

    def bits_per_weight(self, inputs: int) -> float:
        """Stored bits per weight: a byte, and a float32 absmax per row of ``inputs``."""
        return 8 + 32 / inputs

    def stored_bytes(self, outputs: int, inputs: int) -> dict[str, int]:
        """Bytes of a weight as bitsandbytes stores it, by role; outputs and inputs of its layer."""
        return {"codes": outputs * inputs, "scales": 4 * outputs, "metadata": 1}


@dataclass(frozen=True, eq=False)
class RowCodes:
    """A weight in 8 bits.

    Attributes:
        values: int8 in -127..127, shape (outputs, inputs).
        absmax: float32, shape (outputs,).
        dtype: of the weight.
    """

    values: Tensor
    absmax: Tensor
    dtype: torch.dtype
    grid: ClassVar[Int8Rows] = Int8Rows()

    @property
    def shape(self) -> torch.Size:
        """Of the weight: (outputs, inputs)."""
        return self.values.shape

    def weight(self, dtype: torch.dtype | None = None) -> Tensor:
        """What the codes stand for, shape (outputs, inputs); in the original's type by default."""
        return (self.values * self.absmax[:, None] / 127).to(dtype or self.dtype)


class Int8Linear(nn.Module):
    """A linear layer in LLM.int8() form.

    Args:
        codes: of its weight.
        bias: shape (outputs,), or ``None``.
        threshold: features in which some token is as large are multiplied in float; 0 for none,
            that is, all in 8 bits.
        weight: the original, shape (outputs, inputs), from which those features' weights are then
            taken as in the paper; without it they are what the codes stand for, which is all that
            a checkpoint in 8 bits holds.
    """

    def __init__(
        self,
        codes: RowCodes,
        bias: Tensor | None = None,
        threshold: float = 6.0,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.register_buffer("values", codes.values)
        self.register_buffer("absmax", codes.absmax)
        self.register_buffer("bias", bias)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (..., inputs) to (..., outputs), in the type of ``x``."""
        tokens = x.float().flatten(0, -2)
        if self.threshold:
            apart = (tokens.abs() >= self.threshold).any(0)
        else:
            apart = torch.zeros_like(tokens[0], dtype=torch.bool)
        codes, absmax = _rounded(tokens.masked_fill(apart, 0))
        scale = absmax[:, None] * self.absmax / 127**2
        out = functional.linear(codes.float(), self.values.float()) * scale
        if apart.any():
            out = out + functional.linear(tokens[:, apart], self._columns(apart))
        if self.bias is not None:
            out = out + self.bias
        return out.unflatten(0, x.shape[:-1]).to(x.dtype)

    def _columns(self, apart: Tensor) -> Tensor:
        if self.weight is not None:
            return self.weight[:, apart].float()
        return self.values[:, apart] * self.absmax[:, None] / 127


def _rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes of each row, and its absmax; a row of zeros has codes of zero."""
    absmax = rows.abs().amax(-1)
    steps = 127 / torch.where(absmax == 0, 1, absmax)
    return (rows * steps[:, None]).round().to(torch.int8), absmax
