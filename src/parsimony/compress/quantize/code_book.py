"""4-bit code books in blocks along the rows, see ``compress.codebooks``: nf4, fp4, two controls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from parsimony.compress.codebooks import BlockCodes, BlockGrid, DoubleScales
from parsimony.compress.quantizer import Call, Rounding
from parsimony.core.errors import InputError


class NF4(Rounding):
    """Written ``nf4``, ``nf4-dq`` with double quantization, ``nf4b128`` with blocks of 128."""

    name = "nf4"

    @classmethod
    def takes(cls, text: str) -> bool:
        return re.fullmatch(rf"{cls.name}(b[0-9]+)?(-dq)?", text) is not None

    @classmethod
    def grid(cls, head: str, tail: str) -> tuple[BlockGrid, None]:
        if tail:
            raise InputError("a code book has no grid", got=f"{head}:{tail}", hint=f"Write {head}")
        return BlockGrid.parse(head), None

    def check(self, grid: BlockGrid, weight: Tensor, name: str) -> None:
        grid.check(weight, name)

    def round(self, weight: Tensor, call: Call) -> tuple[BlockCodes, str]:
        return call.grid.codes(weight.to(call.dtype), name=call.name), ""

    def pack(self, codes: BlockCodes) -> dict[str, Tensor]:
        if isinstance(codes.scales, Tensor):
            return {"values": codes.values, "scales": codes.scales}
        return {"values": codes.values, **{f"scales.{n}": t for n, t in vars(codes.scales).items()}}

    def unpack(self, tensors: Mapping[str, Tensor], grid: Any, weight: Tensor) -> BlockCodes:
        scales = tensors.get("scales")
        if scales is None:
            parts = ("values", "absmax", "mean")
            scales = DoubleScales(*(tensors[f"scales.{part}"] for part in parts))
        return BlockCodes(tensors["values"], scales, weight.shape, weight.dtype, grid)


class FP4(NF4):
    """bitsandbytes' own fp4, written like ``nf4``."""

    name = "fp4"


class Int4(NF4):
    """Evenly spaced codes, to compare with; written like ``nf4``."""

    name = "int4"


class Random4(NF4):
    """Codes drawn at random, to compare with; written like ``nf4``."""

    name = "random4"
