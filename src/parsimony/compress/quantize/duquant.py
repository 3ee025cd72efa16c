"""DuQuant: rotations built around the largest activations, with a permutation between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from parsimony.compress.grid import Grid
from parsimony.compress.quantize.smoothquant import smoothing
from parsimony.compress.quantizer import Clip, Folded, Transform
from parsimony.compress.rotations import haar
from parsimony.compress.statistics import Magnitudes
from parsimony.compress.walk import Block, Group, matrix

BLOCK = 128
STEPS = 256
_TOKENS = 512  # largest ones, that rotations are built from
_NARROW = 8  # bits below which ranges are clipped
_WEIGHT_CLIP, _ACTIVATION_CLIP = 0.8, 0.9


class Largest(Magnitudes):
    """Beside magnitudes of features: the 512 tokens with the largest of all |x|.

    Attributes:
        sample: [at most 512, width], float32.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.sample = torch.zeros(0, width)

    def take(self, inputs: Tensor) -> None:
        super().take(inputs)
        held = torch.cat([self.sample, inputs.float().cpu()])
        order = held.abs().amax(1).argsort(descending=True, stable=True)
        self.sample = held[order[:_TOKENS]]


def uniform_rotation(size: int) -> Tensor:
    """An orthogonal matrix whose first row is 1/sqrt(size) but for signs, [size, size], float64.

    A product of Givens rotations of neighbouring axes, then axes 0 and size - 1 swapped.
    """
    made = torch.eye(size, dtype=torch.float64)
    for i in reversed(range(size - 1)):
        cos, sin = (i + 2) ** -0.5, ((i + 1) / (i + 2)) ** 0.5
        left, right = made[:, i].clone(), made[:, i + 1].clone()
        made[:, i], made[:, i + 1] = cos * left + sin * right, cos * right - sin * left
    return _swapped(made, 0, size - 1)


def _swapped(square: Tensor, i: int, j: int) -> Tensor:
    order = torch.arange(len(square))
    order[i], order[j] = j, i
    return square[order][:, order]


def greedy_rotation(
    x: Tensor, size: int, generator: torch.Generator, *, steps: int = STEPS, released: bool = False
) -> Tensor:
    """The rotation of blocks of ``size`` channels after which values span the least range.

    Step by step the column of the largest |value| is spread over the block: M = A diag(1, Haar),
    with axes 0 and the column's swapped. Lin et al. 2024 (arXiv 2406.01721), equations 2 to 4.

    Args:
        x: activations, [tokens, width]; one rotation serves all blocks of all tokens.
        size: divides the width.
        generator: for Haar's part.
        steps: at most; the product of steps with the least range, maybe of none, is kept.
        released: take the row of the largest value, modulo ``size``, for its column, as the
            published code does.

    Returns:
        [size, size], float64, to be multiplied from the right.
    """
    rows = x.float().reshape(-1, size)  # only tells where to turn next
    base = uniform_rotation(size)
    product = best = torch.eye(size, dtype=torch.float64)
    least = rows.max() - rows.min()
    for _ in range(steps if size > 1 else 0):
        row, column = divmod(int(rows.abs().argmax()), size)
        inner = torch.block_diag(torch.ones(1, 1, dtype=torch.float64), haar(size - 1, generator))
        turn = _swapped(base @ inner, 0, row % size if released else column)
        rows, product = rows @ turn.float(), product @ turn
        span = rows.max() - rows.min()
        if span < least:
            least, best = span, product
    return best


def zigzag(peaks: Tensor, size: int) -> Tensor:
    """An order of channels that gives every block of ``size`` as many large ones, [width].

    Sorted by size they are dealt to blocks 0, 1, .., K-1, K-1, .., 0, and so on.
    """
    count = len(peaks) // size
    dealt = peaks.argsort(descending=True, stable=True).reshape(size, count)
    dealt[1::2] = dealt[1::2].flip(1)
    return dealt.T.reshape(-1)


@dataclass(frozen=True, eq=False)
class Turns:
    """Scale, rotate, permute, rotate: x' = ((x / s) R1)[order] R2, W' = ((W s) R1)[order] R2.

    A forward pre-hook.

    Attributes:
        scale: s, [width].
        first: R1 of every block of channels, [block, block].
        order: which channel comes where, [width].
        second: R2, [block, block].
    """

    scale: Tensor
    first: Tensor
    order: Tensor
    second: Tensor

    @classmethod
    def of(
        cls,
        x: Tensor,
        scale: Tensor,
        generator: torch.Generator,
        *,
        steps: int = STEPS,
        released: bool = False,
    ) -> Turns:
        """Find them for activations ``x``, [tokens, width]; see ``greedy_rotation``."""
        width = x.shape[1]
        size = max(d for d in range(1, min(BLOCK, width) + 1) if width % d == 0)
        scaled = x.double() / scale
        how: Any = {"steps": steps, "released": released}
        first = greedy_rotation(scaled, size, generator, **how)
        turned = _blockwise(scaled, first)
        order = zigzag(turned.abs().amax(0), size)
        second = greedy_rotation(turned[:, order], size, generator, **how)
        return cls(scale, first, order, second)

    def inputs(self, x: Tensor) -> Tensor:
        """x', [..., width]."""
        turned = _blockwise(x / self.scale.to(x), self.first)
        return _blockwise(turned[..., self.order.to(x.device)], self.second)

    def weight(self, w: Tensor) -> Tensor:
        """W', [outputs, width]."""
        turned = _blockwise(w.double() * self.scale.to(w.device), self.first)
        return _blockwise(turned[..., self.order.to(w.device)], self.second)

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return self.inputs(args[0]), *args[1:]


def _blockwise(x: Tensor, rotation: Tensor) -> Tensor:
    return (x.unflatten(-1, (-1, len(rotation))) @ rotation.to(x)).flatten(-2)


class DuQuant(Transform):
    """Smoothing, a greedy rotation in blocks of 128, a zigzag permutation, another rotation.

    With the settings of arXiv 2508.14896: layers that read the same input share the turns, which
    are found from the 512 largest tokens; below 8 bits the ranges are clipped, weights to 0.8 and
    activations to 0.9. All turns of activations, the smoothing too, happen while the model runs.
    Blocks have the largest size up to 128 that divides a layer's inputs.

    Args:
        released: see ``greedy_rotation``.
    """

    name = "duquant"
    keeps_zeros = False
    exportable = False
    steps: ClassVar[int] = STEPS

    def __init__(self, released: bool = False) -> None:
        self.released = released

    @torch.no_grad()
    def fold(self, block: Block, groups: Sequence[Group], grid: Grid, seed: int) -> Folded:
        generator = torch.Generator().manual_seed(seed)
        tensors: dict[str, Tensor] = {}
        clips: dict[str, Clip] = {}
        for group in groups:
            seen = block.observe(group, Largest)
            scale = smoothing(group, seen.peaks).cpu()
            how: Any = {"steps": self.steps, "released": self.released}
            turns = Turns.of(seen.sample, scale, generator, **how)
            for name, layer in group.layers.items():
                matrix(layer).copy_(turns.weight(matrix(layer)))
                layer.register_forward_pre_hook(turns)
                tensors |= {f"{name}:{part}": t.clone() for part, t in vars(turns).items()}
                clips[name] = _WEIGHT_CLIP if grid.bits < _NARROW else 1.0
        return Folded(tensors, clips)

    def attach(self, layers: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
        for name in dict.fromkeys(key.rpartition(":")[0] for key in tensors):
            parts = {
                k.rpartition(":")[2]: t for k, t in tensors.items() if k.startswith(f"{name}:")
            }
            layers[name].register_forward_pre_hook(Turns(**parts))

    def activation_clip(self, bits: int) -> float:
        return _ACTIVATION_CLIP if bits < _NARROW else 1.0
