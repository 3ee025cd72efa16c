"""Prune a model in place, by any of ``compress/prune``, and say which weights are gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parsimony.compress.passes import Outcome, walk_through
from parsimony.compress.pruner import MODEL, Pruner, Target, keep, pruner
from parsimony.compress.statistics import Hessian
from parsimony.compress.walk import Block, matrix
from parsimony.core.errors import InputError
from parsimony.core.prunable import block_linears

Reconstruct = Callable[[Block, Tensor, dict[str, Tensor]], dict[str, Any]]
"""Retrains a pruned block: (block, the dense block's outputs, its masks) -> report."""


@dataclass(frozen=True)
class Pruned:
    """What pruning leaves.

    Attributes:
        masks: keep-masks by parameter, see ``compress.masks``.
        blocks: what is reported of every block, in order; empty for a method without data.
    """

    masks: dict[str, Tensor]
    blocks: list[dict[str, Any]]


def prune(
    model: nn.Module,
    target: Target | str,
    method: str = "magnitude",
    windows: Tensor | None = None,
    *,
    reconstruct: Reconstruct | None = None,
    seed: int = 0,
    batch: int = 8,
    journal: Path | None = None,
    key: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Pruned:
    """Prune the linear layers of all blocks, in place; nothing else changes.

    Args:
        model: a transformers model.
        target: how much goes, see ``Target.parse``.
        method: one of ``compress.pruner.pruners()``.
        windows: token ids to calibrate with, [windows, window]; not needed by a method without
            data, unless blocks are reconstructed.
        reconstruct: retrains every block right after it is pruned.
        seed: of random choices.
        batch: windows at a time.
        journal: folder that makes the pass resumable, see ``compress.passes``.
        key: see ``compress.passes.walk_through``.
        progress: is told 1 after every block.

    Raises:
        InputError: no such method; quantized weights; a pattern that a layer's width is no
            multiple of; no windows where they are needed; the scope ``model`` for a method that
            needs data.
    """
    way = pruner(method)
    wanted = Target.parse(target, way.scope) if isinstance(target, str) else target
    layers = block_linears(model)
    for name, layer in layers.items():
        if not matrix(layer).is_floating_point():
            raise InputError(
                f"{name}: pruning needs floating-point weights, not codes",
                got=str(matrix(layer).dtype),
                hint="Prune the model before it is quantized",
            )
        wanted.check(name, matrix(layer).shape[1])
    needs = way.statistic is not None or reconstruct is not None
    if needs and wanted.scope == MODEL:
        raise InputError(
            "the scope 'model' compares all layers at once, which a pass block by block cannot",
            got=method if reconstruct is None else f"{method} with reconstruction",
            hint="Use magnitude or random without reconstruction, or the scope 'layer'",
        )
    if needs and windows is None:
        raise InputError(f"{method} needs calibration data", got=None, hint="Give windows")
    generator = torch.Generator().manual_seed(seed)
    if not needs:
        return Pruned(_by_weights_alone(layers, way, wanted, generator), [])
    assert windows is not None
    widest = max(matrix(layer).shape[1] for layer in layers.values())
    if way.statistic is Hessian and windows.numel() < widest:
        warnings.warn(
            f"{windows.numel()} tokens of calibration are fewer than the {widest} inputs of the "
            "widest layer: its Hessian is not of full rank, and damping makes up for it. Give more "
            "windows",
            stacklevel=2,
        )

    def work(block: Block) -> Outcome:
        # A seed of its own for each block: a pass that is resumed draws the same.
        own = torch.Generator().manual_seed(seed * 1_000_003 + block.index)
        return _prune_block(block, way, wanted, own, reconstruct)

    outcomes = walk_through(
        model, windows, work, batch=batch, journal=journal, key=key, progress=progress
    )
    masks = {name: mask.bool() for outcome in outcomes for name, mask in outcome.tensors.items()}
    return Pruned(masks, [dict(outcome.report) for outcome in outcomes])


@torch.no_grad()
def _by_weights_alone(
    layers: dict[str, nn.Module], way: Pruner, target: Target, generator: torch.Generator
) -> dict[str, Tensor]:
    """Masks of a method that needs no data, applied."""
    if target.scope != MODEL or target.pattern:
        return {
            f"{name}.weight": _prune_layer(layer, way, None, target, generator)
            for name, layer in layers.items()
        }
    scores = [
        way.scores(matrix(layer).float(), None, generator)  # type: ignore[attr-defined]
        for layer in layers.values()
    ]
    kept = keep(torch.cat([s.reshape(1, -1) for s in scores], 1), Target(target.sparsity))
    parts = kept[0].split([s.numel() for s in scores])
    return {
        f"{name}.weight": _remove(layer, part.reshape(matrix(layer).shape))
        for (name, layer), part in zip(layers.items(), parts, strict=True)
    }


def _prune_block(
    block: Block,
    way: Pruner,
    target: Target,
    generator: torch.Generator,
    reconstruct: Reconstruct | None,
) -> Outcome:
    dense = block.outputs()
    masks = {}
    groups = block.groups()
    # Nothing that a group reads depends on the later ones: from the last, all is seen unpruned.
    for group in reversed(groups) if way.sees_dense else groups:
        seen = block.observe(group, way.statistic) if way.statistic else None
        for name, layer in group.layers.items():
            masks[f"{name}.weight"] = _prune_layer(layer, way, seen, target, generator)
    report: dict[str, Any] = {"block": block.name, "error": block.error(dense)}
    if reconstruct is not None:
        report |= reconstruct(block, dense, masks)
    return Outcome(masks, report)


@torch.no_grad()
def _prune_layer(
    layer: nn.Module, way: Pruner, seen: Any, target: Target, generator: torch.Generator
) -> Tensor:
    """Prune one layer in place; its mask, shaped like its parameter."""
    weight, mask = way.prune(matrix(layer).float(), seen, target, generator)
    matrix(layer).copy_(weight)
    return _remove(layer, mask)


def _remove(layer: nn.Module, mask: Tensor) -> Tensor:
    """Set what the mask [outputs, inputs] removes to zero; the mask shaped like the parameter."""
    matrix(layer).masked_fill_(~mask, 0)
    shaped = mask if isinstance(layer, nn.Linear) else mask.T
    return shaped.contiguous()
