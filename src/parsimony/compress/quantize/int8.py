"""int8: LLM.int8(), rows and tokens in 8 bits and large features in float."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from parsimony.compress.llm_int8 import Int8Rows, RowCodes
from parsimony.compress.quantizer import Call, Rounding
from parsimony.core.errors import InputError

THRESHOLD = 6.0


class Int8(Rounding):
    """Weights by row; tokens too, but for features that reach 6 in some token of a batch.

    Dettmers et al. 2022 (arXiv 2208.07339), see ``compress.llm_int8``. The large features' weights
    are what their codes stand for, as in a checkpoint.
    """

    name = "int8"

    @classmethod
    def grid(cls, head: str, tail: str) -> tuple[Int8Rows, int]:
        if tail:
            raise InputError("int8 has no grid", got=f"{head}:{tail}", hint="Write int8, or rtn:w8")
        return Int8Rows(), 8

    def check(self, grid: Int8Rows, weight: Tensor, name: str) -> None:
        """A row is of any width."""

    def round(self, weight: Tensor, call: Call) -> tuple[RowCodes, str]:
        return call.grid.codes(weight.to(call.dtype), name=call.name), ""

    def inputs(self, activations: int | None, clip: float) -> Callable[[Tensor], Tensor]:
        return rounded_but_large

    def pack(self, codes: RowCodes) -> dict[str, Tensor]:
        return {"values": codes.values, "absmax": codes.absmax}

    def unpack(self, tensors: Mapping[str, Tensor], grid: Any, weight: Tensor) -> RowCodes:
        return RowCodes(tensors["values"], tensors["absmax"], weight.dtype)


def rounded_but_large(x: Tensor) -> Tensor:
    """Activations [..., features] in 8 bits per token, large features as they are."""
    tokens = x.reshape(-1, x.shape[-1])
    large = (tokens.abs() >= THRESHOLD).any(0)
    small = Int8Rows().codes(tokens.masked_fill(large, 0), name="the activations").weight()
    return torch.where(large, tokens, small).reshape(x.shape)
