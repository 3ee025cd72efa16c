"""Wanda: the weights that contribute least to what a layer puts out go (Sun et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from parsimony.compress.pruner import ROW, Scorer
from parsimony.compress.statistics import Norms
from parsimony.compress.walk import Statistic


class Wanda(Scorer):
    """Score |w_ij| times the norm of input feature j (arXiv 2306.11695, equation 1).

    Compared within the row of an output, as there; PERP's code compares over the whole matrix
    (scope ``"layer"``). The norm here is of the mean over tokens, which orders alike. As in its
    authors' code, norms are taken before any layer of the block is pruned.
    """

    name = "wanda"
    statistic = Norms
    scope = ROW
    sees_dense = True

    def scores(self, weight: Tensor, seen: Statistic | None, generator: torch.Generator) -> Tensor:
        assert isinstance(seen, Norms)
        return weight.abs() * seen.norms.to(weight.device)
