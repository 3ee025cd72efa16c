"""AWQ: weights that meet large activations are made larger before they are rounded, then clipped.

Lin et al. 2023 (arXiv 2306.00978), equations 4 and 5, and the clipping search of its code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from parsimony.compress.folding import Seam, seam
from parsimony.compress.grid import Grid
from parsimony.compress.quantizer import Clip, Folded, Transform
from parsimony.compress.statistics import Hessian, Magnitudes
from parsimony.compress.walk import Block, Group, matrix

RATIOS = [step / 20 for step in range(20)]
CLIPS = [1 - step / 20 for step in range(10)]
_MULTIPLIED = ("q_", "k_", "query", "key", "qkv", "c_attn")  # in names: not clipped, as in its code


class AWQ(Transform):
    """s_j = mean|x_j|^r over the root of its largest times its least, r by a search.

    The error of a ratio is that of the module that holds all layers of a group: of the attention
    for queries, keys and values, of the feed-forward for gate and up, of the layer for one alone.
    The error of a clip is summed over all calibration tokens (512 of them in its code), from the
    blocks on the diagonal of the Hessian.
    """

    name = "awq"

    @torch.no_grad()
    def fold(self, block: Block, groups: Sequence[Group], grid: Grid, seed: int) -> Folded:
        skipped, ratios = [], {}
        for group in groups:
            place = seam(block, group, groups)
            if place is None:
                skipped += list(group.layers)
                continue
            means = block.observe(group, Magnitudes).means
            ratio = _best_ratio(block, place, means, grid)
            place.fold(scales(means, ratio))
            ratios[next(iter(group.layers))] = ratio
        clips: dict[str, Clip] = {}
        for group in groups:
            clipped = {n: layer for n, layer in group.layers.items() if _may_clip(n)}
            if clipped:
                hessian = block.observe(group, Hessian).matrix
                clips |= {n: best_clip(matrix(x), hessian, grid, n) for n, x in clipped.items()}
        return Folded(clips=clips, skipped=skipped, report={"ratios": ratios})


def scales(means: Tensor, ratio: float) -> Tensor:
    """Of the inputs, [width], from their mean magnitudes."""
    found = (means.double() ** ratio).clamp(min=1e-4)
    return found / (found.max() * found.min()).sqrt()


def _may_clip(name: str) -> bool:
    """Not what is multiplied with another layer's output, queries and keys."""
    return not any(part in name.rpartition(".")[2] for part in _MULTIPLIED)


def _best_ratio(block: Block, place: Seam, means: Tensor, grid: Grid) -> float:
    """The ratio whose rounded weights change least what the module around the group puts out."""
    layers = place.group.layers
    module = _around(block, list(layers))
    calls = _calls(block, module)
    wanted = [_first(module(*args, **kwargs)) for args, kwargs in calls]
    kept = {name: matrix(layer).clone() for name, layer in layers.items()}
    errors = []
    for ratio in RATIOS:
        s = scales(means, ratio)
        for name, layer in layers.items():
            own = kept[name] * s.to(kept[name])
            matrix(layer).copy_(grid.codes(own, name=name).weight() / s.to(own))
        found = (_first(module(*args, **kwargs)) for args, kwargs in calls)
        pairs = zip(found, wanted, strict=True)
        errors.append(sum(float((a - b).double().square().sum()) for a, b in pairs))
    for name, layer in layers.items():
        matrix(layer).copy_(kept[name])
    return RATIOS[errors.index(min(errors))]


def _around(block: Block, names: list[str]) -> nn.Module:
    """The smallest module of the block that holds all layers of these names."""
    paths = [name.removeprefix(f"{block.name}.").split(".") for name in names]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return block.module.get_submodule(".".join(shared))


def _calls(block: Block, module: nn.Module) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What a module is called with, batch by batch."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        block.outputs()
    finally:
        handle.remove()
    return found


def _first(output: Any) -> Tensor:
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found


def best_clip(weight: Tensor, hessian: Tensor, grid: Grid, name: str = "the weight") -> Tensor:
    """Share of its range that each group keeps for the least squared error of its part of outputs.

    Args:
        weight: [outputs, inputs].
        hessian: second moments of the inputs, [inputs, inputs]; their scale has no meaning.
        grid: of the weight.
        name: of the layer, for errors.

    Returns:
        [outputs, groups, 1].
    """
    groups = grid.groups(weight.shape[1], name)
    size = weight.shape[1] // groups
    moments = torch.stack(
        [
            hessian[start : start + size, start : start + size]
            for start in range(0, len(hessian), size)
        ]
    ).to(weight)
    errors = []
    for clip in CLIPS:
        off = (grid.codes(weight, clip=clip, name=name).weight() - weight).unflatten(
            1, (groups, -1)
        )
        errors.append((torch.einsum("ogs,gst->ogt", off, moments) * off).sum(-1))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(CLIPS, device=weight.device)[best][..., None]
