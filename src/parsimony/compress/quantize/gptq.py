"""GPTQ: what a column loses when rounded is made up for by the columns to come."""

from __future__ import annotations

import torch
from torch import Tensor

from parsimony.compress.curvature import DAMPING, inverse_factor
from parsimony.compress.grid import Codes
from parsimony.compress.quantize.rtn import RTN
from parsimony.compress.quantizer import Call, Rounding
from parsimony.compress.statistics import Hessian

_LAZY = 128  # columns after which later ones are updated; only for speed


class GPTQ(Rounding):
    """Column by column in order, e = (w_j - q_j) / U_jj and W[:, j:] -= e U[j, j:].

    Frantar et al. 2022 (arXiv 2210.17323), algorithm 1, with the settings of arXiv 2508.14896: the
    scale of a group is found from its weights as compensated when the group begins, damping is
    0.01, columns are not reordered. Codes are found with the scale as it is stored. A weight that a
    mask removes counts as rounded to zero. Where the Hessian cannot be factorised even with
    damping, weights are rounded to the nearest.
    """

    name = "gptq"
    statistic = Hessian

    def round(self, weight: Tensor, call: Call) -> tuple[Codes, str]:
        assert isinstance(call.seen, Hessian)
        factor = inverse_factor(call.seen.matrix.to(weight))
        if factor is None:
            codes, _ = RTN().round(weight, call)
            reason = "no damping makes the Hessian positive definite; rounded to the nearest"
            return codes, f"{call.name}: {reason}"
        w = weight.clone()
        w[:, factor.dead] = 0
        codes = _by_columns(w, factor.upper, call)
        if factor.damping == DAMPING:
            return codes, ""
        return codes, f"{call.name}: damping raised to {factor.damping:g}, {DAMPING:g} was too low"


def _by_columns(w: Tensor, upper: Tensor, call: Call) -> Codes:
    """Codes of ``w``, which is used up."""
    grid, width = call.grid, w.shape[1]
    size = width // grid.groups(width, call.name)  # columns that share a scale
    lazy = _LAZY if grid.group is None else size * max(1, _LAZY // size)  # groups lie whole in it
    values: list[Tensor] = []
    scales: list[Tensor] = []
    zeros: list[Tensor] = []
    for start in range(0, width, lazy):
        end = min(start + lazy, width)
        block, own = w[:, start:end], upper[start:end, start:end]
        errors = torch.zeros_like(block)
        for j, column in enumerate(range(start, end)):
            if column % size == 0:
                clip = call.clip if isinstance(call.clip, float) else call.clip[:, len(scales)]
                group = w[:, column : column + size]
                scale, zero = grid.scales(group, call.dtype, clip=clip, name=call.name)
                origin = torch.zeros_like(scale, dtype=w.dtype) if zero is None else zero.to(w)
                scales.append(scale)
                zeros.append(origin)
            codes = grid.round(block[:, j, None], scale, zero).to(w.dtype)
            if call.mask is not None:
                codes = torch.where(call.mask[:, column, None], codes, origin)
            rounded = (codes - origin) * scale.to(w.dtype)
            errors[:, j] = (block[:, j] - rounded[:, 0]) / own[j, j]
            block[:, j:] -= errors[:, j, None] * own[j, j:]
            values.append(codes)
        w[:, end:] -= errors @ upper[start:end, end:]
    kind = torch.int8 if grid.symmetric else torch.uint8
    zero_points = None if grid.symmetric else torch.cat(zeros, 1).to(torch.uint8)
    return Codes(torch.cat(values, 1).to(kind), torch.cat(scales, 1), zero_points, grid)
