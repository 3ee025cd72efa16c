"""SparseGPT: what is removed is made up for by what is kept (Frantar and Alistarh 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from parsimony.compress.curvature import inverse_factor
from parsimony.compress.prune.wanda import Wanda
from parsimony.compress.pruner import Pruner, Target, keep
from parsimony.compress.statistics import Hessian, Norms
from parsimony.compress.walk import Statistic

_BLOCK = 128  # columns whose threshold is common, and after which later columns are updated


class SparseGPT(Pruner):
    """Column by column, w^2 / U_jj^2 decides, and U spreads the error over the columns to come.

    arXiv 2301.00774, algorithm 1: threshold by blocks of 128 inputs, or by n:m at every m-th input.
    Where the Hessian cannot be factorised even with damping, Wanda chooses and nothing is made up
    for.
    """

    name = "sparsegpt"
    statistic = Hessian

    def prune(
        self, weight: Tensor, seen: Statistic | None, target: Target, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(seen, Hessian)
        factor = inverse_factor(seen.matrix)
        if factor is None:
            return Wanda().prune(weight, _norms(seen), target, generator)
        upper, step = factor.upper, target.pattern[1] if target.pattern else 1
        diagonal = upper.diagonal()
        w = weight.clone()
        w[:, factor.dead] = 0
        mask = torch.ones_like(w, dtype=torch.bool)
        width = w.shape[1]
        size = _BLOCK - _BLOCK % step
        for start in range(0, width, size):
            end = min(start + size, width)
            block, kept = w[:, start:end], mask[:, start:end]
            own = upper[start:end, start:end]
            if target.pattern is None:
                kept.copy_(keep((block / diagonal[start:end]).square(), target))
            errors = torch.zeros_like(block)
            for j in range(end - start):
                if target.pattern is not None and j % step == 0:
                    group = slice(j, j + step)
                    scores = (block[:, group] / diagonal[start:end][group]).square()
                    kept[:, group] = keep(scores, target)
                removed = block[:, j] * ~kept[:, j]
                errors[:, j] = removed / own[j, j]
                block[:, j:] -= errors[:, j, None] * own[j, j:]
                block[:, j] *= kept[:, j]
            w[:, end:] -= errors @ upper[start:end, end:]
        return w, mask


def _norms(seen: Hessian) -> Norms:
    """The norms of the inputs, from the diagonal of their second moments."""
    found = Norms(seen.width)
    found.tokens = 1
    found.squares += (seen.matrix.diagonal() / 2).double().cpu()
    return found
