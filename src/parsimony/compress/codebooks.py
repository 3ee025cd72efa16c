"""4-bit code books: nf4 and fp4 in blocks that share an absolute maximum, as bitsandbytes has them.

A weight is laid out row by row and cut into blocks of B values (the last may be shorter). A value
becomes the index of the code nearest to w / absmax, and index i stands for code[i] * absmax. Two
indices share a byte, the first in its high half. Double quantization ("-dq") stores the absmax as
one byte each: less their mean, in blocks of 256, on an 8-bit code with a dynamic exponent
(Dettmers et al. 2023, arXiv 2305.14314, section 3). Arithmetic is that of bitsandbytes 0.50, so
that codes are its codes to the bit; but blocks are counted through the whole weight, so that a
width which is not a multiple of B is no special case. (Its CPU kernel for absmax of absmax looks
codes up in a coarse table and misses the nearest by one in a thousand or so; here it is found.)

nf4's 16 codes are quantiles of N(0, 1) in [-1, 1]. fp4 here is bitsandbytes' own, not OCP's E2M1.
Two more are there to compare with, in the same blocks: int4's 15 codes lie evenly, which is to
round to nearest; random4's are 0 and 15 that were drawn from U(-1, 1).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from parsimony.core.errors import InputError

BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
OUTER = 256  # absmax bytes that share one of their own
METADATA = 256  # bytes in a file that tell a weight's type, shape and block
_TINY = 1e-38  # in place of an absmax of zero, whose block becomes zeros

_HALF_FP4 = [0, 0.0625, 8, 12, 4, 6, 2, 3]  # twelfths; the upper eight are these, negated
_DRAWN = 2 * torch.rand(15, generator=torch.Generator().manual_seed(0)) - 1
_CODES = {
    "nf4": [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
        -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
        0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    "fp4": [sign * code / 12 for sign in (1, -1) for code in _HALF_FP4],
    "int4": [code / 7 for code in range(-7, 8)],
    "random4": [0.0, *_DRAWN.tolist()],
}  # fmt: skip
_NAME = re.compile(rf"({'|'.join(_CODES)})(?:b([0-9]+))?(-dq)?")


@dataclass(frozen=True)
class BlockGrid:
    """A 4-bit code book and how its scales are kept.

    Attributes:
        book: ``"nf4"``, ``"fp4"``, ``"int4"`` or ``"random4"``.
        block: values that share an absmax, one of ``BLOCKS``.
        double: whether the absmax are quantized too.
        saves: refuse double quantization of a layer where it takes more room than none.

    Raises:
        InputError: another book or block.
    """

    book: str
    block: int = 64
    double: bool = False
    saves: bool = True

    def __post_init__(self) -> None:
        if self.book not in _CODES:
            raise InputError(f"a code book is one of {', '.join(_CODES)}", got=self.book)
        if self.block not in BLOCKS:
            raise InputError(f"a block is one of {', '.join(map(str, BLOCKS))}", got=self.block)

    @classmethod
    def parse(cls, text: str) -> BlockGrid:
        """Read a name: ``nf4``, ``fp4-dq``, ``nf4b128`` (blocks of 128 instead of 64).

        Raises:
            InputError: not such a name.
        """
        match = _NAME.fullmatch(text.strip().lower())
        if match is None:
            raise InputError(
                "a code book is written as its name, then b and the block if not 64, then -dq",
                got=text,
                hint="Examples: nf4, fp4-dq, nf4b128",
            )
        book, block, double = match.groups()
        return cls(book, int(block or 64), double is not None)

    def __str__(self) -> str:
        block = "" if self.block == 64 else f"b{self.block}"
        return f"{self.book}{block}{'-dq' if self.double else ''}"

    def book_codes(self) -> Tensor:
        """The codes by index, at most 16, float32."""
        return torch.tensor(_CODES[self.book])

    def bits_per_weight(self, weights: int | None = None) -> float:
        """Stored bits per weight.

        Args:
            weights: of a whole layer, whose code books count then too; ``None`` for the limit of
                large layers: 4 + 32/B, and with double quantization 4 + 8/B + 32/(256 B).
        """
        if weights is not None:
            stored = self.stored_bytes(1, weights)
            return 8 * (sum(stored.values()) - stored["metadata"]) / weights
        outer = 8 + 32 / OUTER if self.double else 32
        return 4 + outer / self.block

    def stored_bytes(self, outputs: int, inputs: int) -> dict[str, int]:
        """Bytes of a weight as bitsandbytes stores it, by role; outputs and inputs of its layer."""
        blocks = math.ceil(outputs * inputs / self.block)
        return {
            "codes": math.ceil(outputs * inputs / 2),
            "scales": blocks + 4 * math.ceil(blocks / OUTER) if self.double else 4 * blocks,
            "code books": 4 * (len(_CODES[self.book]) + (256 if self.double else 0)),
            "metadata": METADATA,
        }

    def codes(self, weight: Tensor, *, name: str = "the weight") -> BlockCodes:
        """Round a weight to the nearest codes.

        Args:
            weight: floating point, of any shape.
            name: of the layer, for errors.

        Raises:
            InputError: NaN or infinite values; double quantization that would cost more than none.
        """
        self.check(weight, name)
        flat = weight.detach().float().flatten()
        count = flat.numel()
        blocks = functional.pad(flat, (0, -count % self.block)).unflatten(0, (-1, self.block))
        absmax = blocks.abs().amax(1)
        # The library multiplies by reciprocals, and divides in a last block that is not full.
        safe = absmax.clamp(min=_TINY)
        scaled = (blocks * (1 / safe)[:, None]).flatten()[:count]
        if tail := count % self.block:
            scaled[-tail:] = flat[-tail:] / safe[-1]
        ordered, index = self.book_codes().to(flat.device).sort(stable=True)
        nearest = index[_nearest(scaled, ordered)].to(torch.uint8)
        zero = _CODES[self.book].index(0)  # fills the last byte of an odd number of weights
        pairs = functional.pad(nearest, (0, count % 2), value=zero).unflatten(0, (-1, 2))
        packed = (pairs[:, 0] << 4) | pairs[:, 1]
        scales = DoubleScales.of(absmax) if self.double else absmax
        return BlockCodes(packed, scales, weight.shape, weight.dtype, self)

    def check(self, weight: Tensor, name: str = "the weight") -> None:
        """Refuse what ``codes`` refuses."""
        bad = int((~weight.isfinite()).sum())
        if bad:
            raise InputError(
                f"{name}: values to quantize must be finite",
                got=f"{bad} NaN or infinite of {weight.numel()}",
            )
        if self.double and self.saves:
            plain = BlockGrid(self.book, self.block).bits_per_weight(weight.numel())
            if (bits := self.bits_per_weight(weight.numel())) >= plain:
                raise InputError(
                    f"{name}: double quantization must save space, its 1 KiB code book included",
                    got=f"{bits:.4f} bits per weight against {plain:.4f} without",
                    hint="Leave it out for so small a layer or so large a block",
                )


@dataclass(frozen=True, eq=False)
class DoubleScales:
    """Absmax of blocks, quantized themselves.

    Attributes:
        values: uint8 codes, shape (blocks,).
        absmax: of 256 codes each, float32, shape (ceil(blocks / 256),).
        mean: of the original absmax, float32, a scalar.
    """

    values: Tensor
    absmax: Tensor
    mean: Tensor

    @classmethod
    def of(cls, scales: Tensor) -> DoubleScales:
        """Quantize ``scales``, float32, shape (blocks,)."""
        mean = scales.mean()
        centred = scales - mean
        padded = functional.pad(centred, (0, -len(centred) % OUTER)).unflatten(0, (-1, OUTER))
        absmax = padded.abs().amax(1)
        scaled = (padded * (1 / absmax.clamp(min=_TINY))[:, None]).flatten()[: len(centred)]
        return cls(_nearest(scaled, dynamic_code().to(scales.device)).to(torch.uint8), absmax, mean)

    def scales(self) -> Tensor:
        """The absmax that the codes stand for, float32, shape (blocks,)."""
        code = dynamic_code().to(self.values.device)
        absmax = self.absmax.repeat_interleave(OUTER)[: len(self.values)]
        return code[self.values.long()] * absmax + self.mean


@dataclass(frozen=True, eq=False)
class BlockCodes:
    """A weight in a 4-bit code book.

    Attributes:
        values: two indices per byte, the first in the high half; uint8, shape (ceil(n / 2),).
        scales: float32 absmax, shape (ceil(n / block),), or those quantized once more.
        shape: of the weight.
        dtype: of the weight.
        grid: the code book.
    """

    values: Tensor
    scales: Tensor | DoubleScales
    shape: torch.Size
    dtype: torch.dtype
    grid: BlockGrid

    def weight(self, dtype: torch.dtype | None = None) -> Tensor:
        """What the codes stand for; in the original's shape, and its type by default."""
        code = self.grid.book_codes().to(self.values.device)
        count = self.shape.numel()
        indices = torch.stack([self.values >> 4, self.values & 15], 1).flatten()[:count]
        scales = self.scales.scales() if isinstance(self.scales, DoubleScales) else self.scales
        wide = scales.repeat_interleave(self.grid.block)[:count]
        return (code[indices.long()] * wide).view(self.shape).to(dtype or self.dtype)


def dynamic_code() -> Tensor:
    """The signed 8-bit code with a dynamic exponent, sorted, 256 float32 values in [-1, 1].

    Decade i = 0..6 below 1 has 2^i values, the middles of as many equal parts of its span; with
    both signs, 0 and 1 (Dettmers 2016, arXiv 1511.04561).
    """
    edges = [torch.linspace(0.1, 1, 2**decade + 1) for decade in range(7)]
    sizes = torch.cat(
        [10 ** (decade - 6) * ((e[:-1] + e[1:]) / 2) for decade, e in enumerate(edges)]
    )
    return torch.cat([sizes, -sizes, torch.tensor([0.0, 1.0])]).sort().values


def _nearest(values: Tensor, ordered: Tensor) -> Tensor:
    """Index of the nearest of ``ordered`` codes, the lower one of two as near."""
    return torch.bucketize(values, (ordered[:-1] + ordered[1:]) / 2)
