"""Where a scale of a layer's inputs can go: into what makes them, if no output changes by that.

A norm with a weight per feature takes it, and so does a linear layer whose outputs come through
without a bend: values for the output projection of an attention, the up projection of a gated
feed-forward for the down projection. Which these are is found by trying, not from a list of names:
with powers of two for scales, what is right changes no bit, and a norm that a residual reads too is
seen to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parsimony.compress.walk import Block, Group, matrix


def tolerance(dtype: torch.dtype) -> float:
    """By how much an output may change, relative to its norm, to count as the same."""
    return max(1e-4, 20 * torch.finfo(dtype).eps)


def apart(found: Tensor, wanted: Tensor) -> float:
    """Distance relative to the norm of ``wanted``."""
    distance = (found.double() - wanted.double()).norm()
    return float(distance / wanted.double().norm().clamp(min=1e-30))


@torch.no_grad()
def unchanged_by(block: Block, change: Callable[[], None], touched: Sequence[Tensor]) -> bool:
    """Whether a change leaves the block's output as it was; if not, it is taken back.

    Args:
        block: is run with its first batch.
        change: made in place.
        touched: all that it changes.
    """
    first = next(block.batches())
    before, kept = block.run(first), [tensor.clone() for tensor in touched]
    change()
    after = block.run(first)
    same = apart(after, before) <= tolerance(before.dtype)
    if not same:
        for tensor, value in zip(touched, kept, strict=True):
            tensor.copy_(value)
    return same


def bias_of(module: nn.Module) -> list[Tensor]:
    """A list of the bias of a module, or of nothing."""
    bias = getattr(module, "bias", None)
    return [] if bias is None else [bias.data]


def makers(group: Group, groups: Sequence[Group]) -> list[nn.Module]:
    """The linear layers that are called before a group, last first."""
    earlier = groups[: list(groups).index(group)]
    return [layer for one in earlier for layer in one.layers.values()][::-1]


@dataclass(frozen=True, eq=False)
class Seam:
    """A group of layers and what makes their input.

    Attributes:
        group: the layers.
        before: a norm, or a linear layer with as many outputs.
    """

    group: Group
    before: nn.Module

    @torch.no_grad()
    def fold(self, scales: Tensor) -> None:
        """Divide the input by ``scales``, [width], and multiply the weights that meet it."""
        own = self.before
        weight = own.weight.data if _is_norm(own, self.group.width) else matrix(own).T
        for part in (weight, *bias_of(own)):
            part.div_(scales.to(part))
        for layer in self.group.layers.values():
            matrix(layer).mul_(scales.to(matrix(layer)))

    @property
    def touched(self) -> list[Tensor]:
        """All that ``fold`` changes."""
        weights = [matrix(layer) for layer in self.group.layers.values()]
        return [self.before.weight.data, *bias_of(self.before), *weights]  # type: ignore[list-item]


def seam(block: Block, group: Group, groups: Sequence[Group]) -> Seam | None:
    """Where a group's scales can go; ``None`` where there is no such place.

    Args:
        block: as it is.
        group: one of its groups.
        groups: all of them, see ``Block.groups``.
    """
    width = group.width
    linear = [layer for layer in makers(group, groups) if matrix(layer).shape[0] == width]
    source = dict(block.module.named_modules(prefix=block.name)).get(group.source or "")
    norm = [source] if source is not None and _is_norm(source, width) else []
    probe = 2.0 ** (torch.arange(width) % 3 - 1)
    for before in [*norm, *linear]:
        found = Seam(group, before)
        if unchanged_by(block, lambda found=found: found.fold(probe), found.touched):
            found.fold(1 / probe)
            return found
    return None


def _is_norm(module: nn.Module, width: int) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.shape == (width,)
