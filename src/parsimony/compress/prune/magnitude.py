"""Magnitude: the smallest weights go."""

from __future__ import annotations

import torch
from torch import Tensor

from parsimony.compress.pruner import Scorer
from parsimony.compress.walk import Statistic


class Magnitude(Scorer):
    """Score |w|; compared within a layer, a row, or over the whole model."""

    name = "magnitude"

    def scores(self, weight: Tensor, seen: Statistic | None, generator: torch.Generator) -> Tensor:
        return weight.abs()
