"""Random: the control that every criterion must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from parsimony.compress.pruner import Scorer
from parsimony.compress.walk import Statistic


class Random(Scorer):
    """A score from a standard normal distribution."""

    name = "random"

    def scores(self, weight: Tensor, seen: Statistic | None, generator: torch.Generator) -> Tensor:
        return torch.randn(weight.shape, generator=generator).to(weight.device)
