"""Which activations of a model are out of all proportion, layer by layer.

A channel is an outlier when its median |x| over tokens is more than 6 times that of all values the
layer reads. A value is massive when |x| > 100 and more than 1000 times that median (Sun et al.
2024, arXiv 2402.17762); few tokens carry one. Where they are decides what a quantizer must cope
with: see arXiv 2508.14896, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parsimony.compress.passes import Outcome, walk_through
from parsimony.compress.walk import Block, Statistic

CHANNEL_FACTOR = 6.0
MASSIVE, MASSIVE_FACTOR = 100.0, 1000.0


@dataclass(frozen=True, eq=False)
class Reading:
    """What the layers of one group read.

    Attributes:
        layers: full names of the linear layers that read it, in the order of their calls.
        median: of |x| over all tokens and channels.
        channel_max: largest |x| of every channel, [width].
        channel_median: median |x| of every channel over tokens, [width].
        token_max: largest |x| of every token, [tokens], in the order of the windows.
        massive_tokens: how many tokens carry a massive value.
    """

    layers: tuple[str, ...]
    median: float
    channel_max: Tensor
    channel_median: Tensor
    token_max: Tensor
    massive_tokens: int

    @property
    def outlier_channels(self) -> list[int]:
        """Channels whose median is out of proportion, ascending."""
        return (self.channel_median > CHANNEL_FACTOR * self.median).nonzero().flatten().tolist()


class _Held(Statistic):
    """All |x| of one group, [tokens, width]."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._parts: list[Tensor] = []

    def take(self, inputs: Tensor) -> None:
        self._parts.append(inputs.abs().float().cpu())

    @property
    def sizes(self) -> Tensor:
        return torch.cat(self._parts)


def read(sizes: Tensor, layers: tuple[str, ...] = ()) -> Reading:
    """Tell the outliers of the |x| that layers read.

    Args:
        sizes: [tokens, width], not negative.
        layers: their names.
    """
    median = float(sizes.flatten().median())
    token_max = sizes.amax(1)
    massive = (token_max > MASSIVE) & (token_max > MASSIVE_FACTOR * median)
    channels = sizes.median(0).values
    return Reading(layers, median, sizes.amax(0), channels, token_max, int(massive.sum()))


def outliers(
    model: nn.Module,
    windows: Tensor,
    *,
    batch: int = 8,
    progress: Callable[[float], None] = lambda done: None,
) -> list[Reading]:
    """What every linear layer of the blocks reads, in the order of their calls.

    Args:
        model: a transformers model; it is only run.
        windows: token ids, [windows, window]; the |x| of one group for all of them are held in
            memory at a time.
        batch: windows at a time.
        progress: is told 1 after every block.

    Raises:
        InputError: a model that cannot be walked through block by block.
    """
    found: list[Reading] = []

    def work(block: Block) -> Outcome:
        for group in block.groups():
            found.append(read(block.observe(group, _Held).sizes, tuple(group.layers)))
        return Outcome()

    walk_through(model, windows, work, batch=batch, progress=progress)
    return found


def most_massive(readings: list[Reading]) -> Reading | None:
    """Where most tokens carry a massive value, the first of equals; ``None`` without any."""
    best = max(readings, key=lambda reading: reading.massive_tokens, default=None)
    return best if best is not None and best.massive_tokens else None
