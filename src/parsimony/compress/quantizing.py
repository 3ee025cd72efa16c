"""Quantize a model in place, by any of ``compress/quantize``, and keep the codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from parsimony.compress import masks as masking
from parsimony.compress.passes import Outcome, walk_through
from parsimony.compress.quantizer import Call, Clip, Coded, Folded, Spec
from parsimony.compress.walk import Block, Statistic, matrix
from parsimony.core.errors import InputError, nearest
from parsimony.core.prunable import block_linears

_CODES, _FOLD = "codes:", "fold:"
_MARK = "quantized_to"  # set on every quantized layer


@dataclass(frozen=True)
class Quantized:
    """What quantization leaves beside the changed model.

    Attributes:
        codes: by layer; the layer's weight is what they stand for.
        activations: bits, ``None`` for activations as they are.
        blocks: what is reported of every block, in order; empty for a pass without data.
        notes: what the user should know, a sentence each.
        exportable: whether a checkpoint can hold it; else the model computes with hooks on top.
        handles: of the hooks that round activations, one per layer.
    """

    codes: dict[str, Coded]
    activations: int | None
    blocks: list[dict[str, Any]]
    notes: list[str]
    exportable: bool
    handles: list[RemovableHandle]

    def leave_activations(self) -> None:
        """From now on, compute with activations as they are; weights stay quantized."""
        for handle in self.handles:
            handle.remove()


def quantize(
    model: nn.Module,
    spec: Spec | str,
    windows: Tensor | None = None,
    *,
    masks: masking.Masks | None = None,
    journal: Path | None = None,
    key: str = "",
    batch: int = 8,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> Quantized:
    """Quantize the linear layers of all blocks, in place, first to last.

    Layers come in the order of their calls, each calibrated on what the quantized ones before it
    produce; activations are rounded only once all weights are.

    Args:
        model: a transformers model; afterwards it computes with what the codes stand for and, with
            bits for activations, rounds the inputs of every quantized layer.
        spec: see ``Spec.parse``.
        windows: token ids to calibrate with, [windows, window]; a spec without a transform whose
            rounding needs no data can do without.
        masks: keep-masks of a pruned model by parameter; what they remove stays zero.
        journal: folder that makes the pass resumable, see ``compress.passes``; it goes on with the
            original model.
        key: see ``compress.passes.walk_through``.
        batch: windows at a time.
        seed: of random choices.
        progress: is told 1 after every block.

    Raises:
        InputError: an unknown spec; a layer that is quantized already, or that the grid does not
            fit; no windows where they are needed; masks of other layers, or for a transform that
            fills zeros; what the transform refuses.
    """
    wanted = Spec.parse(spec) if isinstance(spec, str) else spec
    layers = block_linears(model)
    masks = masks or {}
    _check(layers, wanted, masks, windows)
    masking.apply(model, masks)
    notes = _warnings(layers, wanted, windows)
    if windows is None:
        codes = {name: _round(wanted, name, layer, masks) for name, layer in layers.items()}
        blocks, found = [], {name: coded for name, (coded, _) in codes.items()}
    else:
        if wanted.transform is not None:
            notes += wanted.transform.prepare(model, windows[:batch], seed)
        blocks, found = _through_blocks(
            model, wanted, windows, masks, layers,
            batch=batch, seed=seed, journal=journal, key=key, progress=progress,
        )  # fmt: skip
    for report in blocks:
        notes += report.pop("notes")
    if skipped := [name for report in blocks for name in report.pop("skipped")]:
        notes.append(
            f"{wanted.transform.name}: {len(skipped)} of {len(layers)} layers are as they were, "  # type: ignore[union-attr]
            f"since nothing before them can take a scale without a change of the output: "
            f"{', '.join(skipped[:4])}{' ...' if len(skipped) > 4 else ''}"
        )
    for layer in layers.values():
        setattr(layer, _MARK, str(wanted))
    handles = _round_inputs(layers, wanted)
    return Quantized(found, wanted.activations, blocks, notes, wanted.exportable, handles)


def form_of(model: nn.Module) -> str | None:
    """What a model is quantized to, as it is written or as the type of its codes; else ``None``."""
    forms = (_form(layer) for layer in block_linears(model).values())
    return next((form for form in forms if form is not None), None)


def _form(layer: nn.Module) -> str | None:
    weight = matrix(layer)
    if hasattr(layer, _MARK):
        return str(getattr(layer, _MARK))
    return None if weight.is_floating_point() else str(weight.dtype).removeprefix("torch.")


def _check(
    layers: Mapping[str, nn.Module], spec: Spec, masks: masking.Masks, windows: Tensor | None
) -> None:
    for name, layer in layers.items():
        if (form := _form(layer)) is not None:
            raise InputError(
                f"{name} must not be quantized already",
                got=form,
                hint="Start from the original model",
            )
        spec.rounding.check(spec.grid, matrix(layer), name)
    if windows is None and spec.needs_data:
        raise InputError(f"{spec} needs calibration data", got=None, hint="Give windows")
    for name in masks:
        if name.removesuffix(".weight") not in layers:
            known = [f"{layer}.weight" for layer in layers]
            hint = nearest(name, known).partition(" Known")[0]
            raise InputError("a mask must be of a layer that is quantized", got=name, hint=hint)
    if masks and spec.transform is not None and not spec.transform.keeps_zeros:
        raise InputError(
            f"{spec.transform.name} mixes the inputs of a layer, so that pruned weights would not "
            "stay zero",
            got=f"{len(masks)} masks",
            hint="Use rtn, gptq, awq or smoothquant with a pruned model",
        )


def _warnings(layers: Mapping[str, nn.Module], spec: Spec, windows: Tensor | None) -> list[str]:
    notes = []
    if windows is not None and spec.rounding.statistic is not None:
        widths = [matrix(layer).shape[1] for layer in layers.values()]
        tokens, short = windows.numel(), sum(width > windows.numel() for width in widths)
        if short:
            notes.append(
                f"{tokens} calibration tokens are fewer than the up to {max(widths)} inputs of "
                f"{short} layers, whose Hessians depend on the damping; give more windows"
            )
    if spec.activations is not None and spec.activations <= 4 and _only_smooth(spec):
        notes.append(
            f"activations of {spec.activations} bits with no more than smoothing: published "
            "results collapse there (arXiv 2508.14896, 41.1 against 65.5 points); rotate instead, "
            "with quarot or duquant"
        )
    return notes


def _only_smooth(spec: Spec) -> bool:
    """Whether large activations are met by scales alone."""
    return spec.transform is None or spec.transform.keeps_zeros


def _through_blocks(
    model: nn.Module,
    spec: Spec,
    windows: Tensor,
    masks: masking.Masks,
    layers: Mapping[str, nn.Module],
    *,
    batch: int,
    seed: int,
    journal: Path | None,
    key: str,
    progress: Callable[[float], None],
) -> tuple[list[dict[str, Any]], dict[str, Coded]]:
    done = set()

    def work(block: Block) -> Outcome:
        done.add(block.index)
        # A seed of its own for each block: a pass that is resumed draws the same.
        return _quantize_block(block, spec, masks, seed * 1_000_003 + block.index)

    outcomes = walk_through(
        model, windows, work, batch=batch, journal=journal, key=key, progress=progress
    )
    found: dict[str, Coded] = {}
    for index, outcome in enumerate(outcomes):
        if spec.transform is not None and index not in done:
            spec.transform.attach(layers, _under(_FOLD, outcome.tensors))
        packed = _under(_CODES, outcome.tensors)
        for name in dict.fromkeys(part.rpartition(":")[0] for part in packed):
            weight = matrix(layers[name])
            found[name] = spec.rounding.unpack(_under(f"{name}:", packed), spec.grid, weight)
    return [dict(outcome.report) for outcome in outcomes], found


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


@torch.no_grad()
def _quantize_block(block: Block, spec: Spec, masks: masking.Masks, seed: int) -> Outcome:
    wanted = block.outputs()
    groups = block.groups()
    folded = Folded()
    if spec.transform is not None:
        folded = spec.transform.fold(block, groups, spec.grid, seed)
    tensors = {f"{_FOLD}{name}": value for name, value in folded.tensors.items()}
    notes = []
    for group in groups:
        statistic = spec.rounding.statistic
        seen = block.observe(group, statistic) if statistic else None
        for name, layer in group.layers.items():
            clip = folded.clips.get(name, 1.0)
            coded, note = _round(spec, name, layer, masks, seen, clip)
            notes += [note] if note else []
            packed = spec.rounding.pack(coded)
            tensors |= {f"{_CODES}{name}:{part}": value for part, value in packed.items()}
    return Outcome(
        tensors,
        {
            "block": block.name,
            "error": block.error(wanted),
            "notes": notes,
            "skipped": list(folded.skipped),
            **folded.report,
        },
    )


@torch.no_grad()
def _round(
    spec: Spec,
    name: str,
    layer: nn.Module,
    masks: masking.Masks,
    seen: Statistic | None = None,
    clip: Clip = 1.0,
) -> tuple[Coded, str]:
    """Quantize one layer in place."""
    own = matrix(layer)
    mask = masks.get(f"{name}.weight")
    if mask is not None:
        mask = (mask if isinstance(layer, nn.Linear) else mask.T).to(own.device)
    wide = own if own.dtype is torch.float64 else own.float()
    call = Call(name, spec.grid, own.dtype, seen, mask, clip)
    coded, note = spec.rounding.round(wide, call)
    own.copy_(coded.weight(own.dtype))
    return coded, note


def _round_inputs(layers: Mapping[str, nn.Module], spec: Spec) -> list[RemovableHandle]:
    """Let every layer round its inputs; after the hooks that the transform has put there."""
    bits = spec.activations
    clip = spec.transform.activation_clip(bits) if spec.transform and bits else 1.0
    rounded = spec.rounding.inputs(bits, clip)
    if rounded is None:
        return []

    def hook(module: nn.Module, args: Sequence[Any]) -> tuple[Any, ...]:
        return rounded(args[0]), *args[1:]

    return [layer.register_forward_pre_hook(hook) for layer in layers.values()]
