"""The uniform quantization grid: integer codes, a scale per row or per group of inputs.

Symmetric grids follow compressed-tensors, so that what is rounded here is what a checkpoint holds:
s = max|w| / ((2^b - 1) / 2), q = clamp(round(w / s), -2^(b-1), 2^(b-1) - 1), value s q. Asymmetric
ones are those of Lin et al. 2025 (arXiv 2508.14896): s = (max - min) / (2^b - 1) with 0 forced into
[min, max] and s >= 1e-5, z = round(-min / s), q = clamp(round(w / s) + z, 0, 2^b - 1), value
s (q - z). On both, 0 is a value of the grid: a pruned weight stays pruned.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from parsimony.core.errors import InputError

_NAME = re.compile(r"w?([0-9]+)(?:g([0-9]+))?(-asym)?")
_LEAST_SCALE = 1e-5  # of an asymmetric grid


@dataclass(frozen=True)
class Grid:
    """A uniform grid.

    Attributes:
        bits: of a code, 2 to 8.
        group: neighbouring inputs that share a scale; ``None`` for one scale per output row.
        symmetric: codes around 0 and no zero point.

    Raises:
        InputError: a value outside its range.
    """

    bits: int
    group: int | None = None
    symmetric: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise InputError("a grid has 2 to 8 bits", got=self.bits)
        if self.group is not None and self.group < 1:
            raise InputError("a group has at least one input", got=self.group)

    @classmethod
    def parse(cls, text: str) -> Grid:
        """Read a name: ``4g128``, ``8`` (a scale per row), ``4g128-asym``; a leading w is allowed.

        Raises:
            InputError: not such a name.
        """
        match = _NAME.fullmatch(text.strip().lower())
        if match is None:
            raise InputError(
                "a grid is written as bits, then g and the group if it has one, then -asym",
                got=text,
                hint="Examples: 4g128, 8, 3g64-asym",
            )
        bits, group, asymmetric = match.groups()
        return cls(int(bits), int(group) if group else None, not asymmetric)

    def __str__(self) -> str:
        group = "" if self.group is None else f"g{self.group}"
        return f"{self.bits}{group}{'' if self.symmetric else '-asym'}"

    @property
    def lowest(self) -> int:
        """The lowest code."""
        return -(2 ** (self.bits - 1)) if self.symmetric else 0

    @property
    def highest(self) -> int:
        """The highest code."""
        return self.lowest + 2**self.bits - 1

    def scales(
        self,
        w: Tensor,
        dtype: torch.dtype | None = None,
        *,
        clip: float | Tensor = 1.0,
        name: str = "the weight",
    ) -> tuple[Tensor, Tensor | None]:
        """Scale and zero point of values that share them.

        Args:
            w: shape (..., n), floating point; the last axis shares one scale.
            dtype: of the scale as it will be stored; that of ``w`` by default.
            clip: share of the range that the grid covers, in (0, 1]; broadcasts against (..., 1).
            name: of the layer, for errors.

        Returns:
            Scale, shape (..., 1), and zero point in the codes' type, or ``None`` if symmetric.

        Raises:
            InputError: NaN or infinite values; a scale that ``dtype`` cannot hold.
        """
        wide = _wide(w)
        if self.symmetric:
            step = wide.abs().amax(-1, keepdim=True) * clip / ((2**self.bits - 1) / 2)
            low = None
        else:
            low = wide.amin(-1, keepdim=True).clamp(max=0) * clip
            high = wide.amax(-1, keepdim=True).clamp(min=0) * clip
            step = ((high - low) / (2**self.bits - 1)).clamp(min=_LEAST_SCALE)
        scale = step.to(dtype or w.dtype)
        if not scale.isfinite().all():
            _refuse(w, scale, name)
        if low is None:  # all zero, or too small for the type: such values become zeros
            return torch.where(scale == 0, 1, scale), None
        zero = (-low / _wide(scale)).round().clamp(0, self.highest)
        return scale, zero.to(torch.uint8)

    def round(self, w: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        """Codes of the nearest grid points: int8 if symmetric, else uint8; the shape of ``w``."""
        codes = (_wide(w) / _wide(scale)).round()
        if zero is not None:
            codes += zero
        kind = torch.int8 if self.symmetric else torch.uint8
        return codes.clamp(self.lowest, self.highest).to(kind)

    def codes(
        self,
        weight: Tensor,
        scale_dtype: torch.dtype | None = None,
        *,
        clip: float | Tensor = 1.0,
        name: str = "the weight",
    ) -> Codes:
        """Round a weight to the nearest points, with the scale as it is stored.

        Args:
            weight: shape (outputs, inputs), floating point.
            scale_dtype: of the stored scales; that of ``weight`` by default.
            clip: see ``scales``; a tensor has shape (outputs, groups, 1).
            name: of the layer, for errors.

        Raises:
            InputError: a group that does not divide the inputs, and what ``scales`` refuses.
        """
        grouped = weight.unflatten(1, (self.groups(weight.shape[1], name), -1))
        scale, zero = self.scales(grouped, scale_dtype, clip=clip, name=name)
        values = self.round(grouped, scale, zero).flatten(1)
        return Codes(values, scale.squeeze(-1), None if zero is None else zero.squeeze(-1), self)

    def groups(self, inputs: int, name: str = "the layer") -> int:
        """How many scales a row of ``inputs`` weights has.

        Raises:
            InputError: the group does not divide the inputs.
        """
        group = self.group or inputs
        if inputs % group:
            raise InputError(
                f"{name}: a group of a grid must divide the layer's {inputs} inputs",
                got=group,
                hint="Give this layer one scale per row (a grid without a group)",
            )
        return inputs // group

    def bits_per_weight(self, inputs: int, scale_bits: int = 16) -> float:
        """Stored bits per weight: code, share of the scale and, if asymmetric, of the zero point.

        Args:
            inputs: of the layer.
            scale_bits: of a stored scale.
        """
        zero_bits = 0 if self.symmetric else self.bits
        return self.bits + self.groups(inputs) * (scale_bits + zero_bits) / inputs

    def stored_bytes(
        self, outputs: int, inputs: int, scale_bytes: int = 2, packed: bool = True
    ) -> dict[str, int]:
        """Bytes of a weight on a symmetric grid as compressed-tensors stores it, by role.

        Args:
            outputs: of the layer.
            inputs: of the layer.
            scale_bytes: of a stored scale.
            packed: a row's codes fill words of 32 bits; else a code is a byte, as it is wherever
                activations are quantized too.
        """
        row = 4 * math.ceil(inputs * self.bits / 32) if packed else inputs
        return {
            "codes": outputs * row,
            "scales": outputs * self.groups(inputs) * scale_bytes,
            "metadata": 16 if packed else 0,  # the shape, two integers
        }


@dataclass(frozen=True, eq=False)
class Codes:
    """A quantized weight.

    Attributes:
        values: codes, int8 (symmetric) or uint8, shape (outputs, inputs).
        scale: as stored, shape (outputs, groups).
        zero: uint8 zero points, shape (outputs, groups); ``None`` if symmetric.
        grid: what the codes count on.
    """

    values: Tensor
    scale: Tensor
    zero: Tensor | None
    grid: Grid

    @property
    def shape(self) -> torch.Size:
        """Of the weight: (outputs, inputs)."""
        return self.values.shape

    def weight(self, dtype: torch.dtype | None = None) -> Tensor:
        """What the codes stand for, shape (outputs, inputs); in the scale's type by default."""
        grouped = _wide(self.values).unflatten(1, (self.scale.shape[1], -1))
        if self.zero is not None:
            grouped = grouped - self.zero[..., None]
        found = grouped * _wide(self.scale)[..., None]
        return found.flatten(1).to(dtype or self.scale.dtype)


def fake_quantize_tokens(x: Tensor, bits: int, symmetric: bool = True, clip: float = 1.0) -> Tensor:
    """Activations rounded to a grid of their own per token, found from the token itself.

    Args:
        x: shape (..., features).
        bits: of a code, 2 to 8.
        symmetric: see ``Grid``.
        clip: share of a token's range that the grid covers, in (0, 1].

    Returns:
        Same shape and type as ``x``.

    Raises:
        InputError: NaN or infinite activations.
    """
    grid = Grid(bits, symmetric=symmetric)
    wide = _wide(x)
    scale, zero = grid.scales(wide, clip=clip, name="the activations")
    codes = _wide(grid.round(wide, scale, zero))
    return ((codes if zero is None else codes - zero) * scale).to(x.dtype)


def _wide(values: Tensor) -> Tensor:
    """In the type that arithmetic is done in: float64 stays, all else is float32."""
    return values if values.dtype is torch.float64 else values.float()


def _refuse(w: Tensor, scale: Tensor, name: str) -> None:
    bad = int((~w.isfinite()).sum())
    if bad:
        raise InputError(
            f"{name}: values to quantize must be finite",
            got=f"{bad} NaN or infinite of {w.numel()}",
        )
    raise InputError(
        f"{name}: a scale must fit {scale.dtype}",
        got=f"values up to {w.abs().max().item():.3g}",
        hint="Store scales in torch.bfloat16 or torch.float32",
    )
