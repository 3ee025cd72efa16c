"""SmoothQuant: large activations are made smaller and the weights that meet them larger."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from parsimony.compress.folding import seam
from parsimony.compress.grid import Grid
from parsimony.compress.quantizer import Folded, Transform
from parsimony.compress.statistics import Magnitudes
from parsimony.compress.walk import Block, Group, matrix

ALPHA = 0.5


def smoothing(group: Group, peaks: Tensor, alpha: float = ALPHA) -> Tensor:
    """s_j = max|X_j|^alpha / max|W_j|^(1 - alpha), [width]; 1 where either is all zero.

    Xiao et al. 2022 (arXiv 2211.10438), equation 4.

    Args:
        group: layers that read the same input; W_j are the columns of all of them.
        peaks: max |X_j|, [width].
        alpha: how much of the difficulty moves to the weights, in [0, 1].
    """
    layers = group.layers.values()
    columns = torch.stack([matrix(layer).abs().amax(0) for layer in layers]).amax(0)
    columns, peaks = columns.double(), peaks.to(columns.device).double()
    scales = peaks**alpha / columns ** (1 - alpha)
    return torch.where((peaks > 0) & (columns > 0), scales, 1.0)


class SmoothQuant(Transform):
    """Scales go into the norm before, or the linear layer before, where that is possible.

    Args:
        alpha: see ``smoothing``.
    """

    name = "smoothquant"

    def __init__(self, alpha: float = ALPHA) -> None:
        self.alpha = alpha

    @torch.no_grad()
    def fold(self, block: Block, groups: Sequence[Group], grid: Grid, seed: int) -> Folded:
        skipped = []
        for group in groups:
            place = seam(block, group, groups)
            if place is None:
                skipped += list(group.layers)
            else:
                peaks = block.observe(group, Magnitudes).peaks
                place.fold(smoothing(group, peaks, self.alpha))
        return Folded(skipped=skipped)
