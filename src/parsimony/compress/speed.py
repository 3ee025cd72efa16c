"""How fast a model reads, beside another in the same process; 'not faster here' is an answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_WARM_UP = 2


@dataclass(frozen=True)
class Speed:
    """Time of one model over the time of another, pass by pass.

    Attributes:
        ratio: median of original / compressed; above 1 is faster.
        low: smallest ratio of a pair of passes.
        high: largest.
        passes: pairs that were timed.
    """

    ratio: float
    low: float
    high: float
    passes: int

    @property
    def verdict(self) -> str:
        """In words: a difference must show in every pair."""
        if self.low > 1:
            return "faster on this machine"
        return "slower on this machine" if self.high < 1 else "not faster on this machine"


def compare(original: nn.Module, compressed: nn.Module, ids: Tensor, passes: int = 7) -> Speed:
    """Time forward passes in turns, so that what else the machine does meets both.

    Args:
        original: a transformers model.
        compressed: another, with the same vocabulary.
        ids: token ids, [windows, window].
        passes: pairs that count; two more warm up.
    """
    ratios = [_pair((original, compressed), ids) for _ in range(_WARM_UP + passes)][_WARM_UP:]
    return Speed(statistics.median(ratios), min(ratios), max(ratios), passes)


def _pair(models: Sequence[nn.Module], ids: Tensor) -> float:
    seconds = []
    for model in models:
        begin = time.perf_counter()
        with torch.inference_mode():
            model(input_ids=ids)
        seconds.append(time.perf_counter() - begin)
    return seconds[0] / seconds[1]
