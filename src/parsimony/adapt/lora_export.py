"""Write an additive adapter as LoRA, for servers that know only LoRA, and measure what that lost.

peft's ``convert_to_lora`` decomposes every update by singular values. Some servers read one rank
for all layers, so all layers get the same.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file

from parsimony.adapt.loading import Loaded, load_base, widened
from parsimony.core import artifacts, peft_border
from parsimony.core.errors import InputError
from parsimony.core.scoring import METRICS, outputs, score
from parsimony.core.thrift import PLAIN

ENERGY = 0.9999  # of the squared singular values of every update
_ROWS = 256


def export(loaded: Loaded, run: Path, out: Path, rank: int | None = None) -> dict[str, Any]:
    """Write the adapter of a run to ``out`` as a LoRA adapter.

    Args:
        loaded: see ``load_run``.
        run: the run folder; the first test rows measure the loss.
        out: a new folder.
        rank: of every layer; the least that keeps ``ENERGY`` in all of them when not given.

    Returns:
        ``rank``; ``kept``, the least share of an update's squared singular values that it keeps;
        ``rows`` compared; ``largest_change`` of an output; ``metric``, ``before`` and ``after``,
        its mean over the rows; ``bytes_before`` and ``bytes_after`` of the tensors' file.

    Raises:
        InputError: the adapter is LoRA already, or its update does not add to dense weights; a
            rank out of range; ``out`` exists.
    """
    name = loaded.origin["method"]["name"]
    model: Any = loaded.model
    if not loaded.adapter:
        raise InputError(f"'{name}' trained the whole model; there is no adapter to export",
                         hint=f"Serve {run / 'model'}")  # fmt: skip
    plainly = not _more_than_lora(model) and bool(_layers(model))
    if plainly and model.active_peft_config.peft_type == peft.PeftType.LORA:
        raise InputError(f"'{name}' is LoRA already", hint=f"Serve {run / 'adapter'}")
    # Codes cannot be converted; the values they stand for can.
    dense: Any = model if loaded.base == PLAIN.base else widened(loaded, run / "adapter")
    layers = _layers(dense)
    if not (plainly and all(map(_additive, layers))):
        raise InputError(
            f"'{name}' is not an update that adds to dense weights, so no LoRA equals it",
            hint="Merge it where it can be merged, or serve it with peft",
        )
    if out.exists():
        raise InputError("the export needs a new folder", got=str(out), hint="Choose --out")
    spectra = [_energies(layer) for layer in layers]
    most = min(map(len, spectra))
    least = max(int((energy < ENERGY).sum()) + 1 for energy in spectra)
    chosen = min(least, most) if rank is None else rank
    if not 1 <= chosen <= most:
        raise InputError(
            f"--rank must be 1 to {most}, the smallest side of an adapted weight", got=rank
        )
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    _write(dense, temporary, chosen)
    window = loaded.origin["window"]
    rows = loaded.inputs.kept(run / "data", "test", window, limit=_ROWS)
    device = str(next(model.parameters()).device)
    base = load_base(loaded.origin, loaded.base, device)
    twin = peft_border.load_adapter(base, temporary).to(device).eval()
    pairs = zip(*(outputs(m, rows, loaded.collator, batch=32) for m in (model, twin)), strict=True)
    change = max(float((a - b).abs().max()) for (a, _), (b, _) in pairs)
    task = loaded.origin["task"]
    before, after = (score(m, rows, loaded.collator, task).scores.mean() for m in (model, twin))
    file = "adapter_model.safetensors"
    measured = {
        "rank": chosen,
        "kept": float(min(energy[chosen - 1] for energy in spectra)),
        "rows": len(rows),
        "largest_change": change,
        "metric": METRICS[task].name,
        "before": float(before),
        "after": float(after),
        "bytes_before": (run / "adapter" / file).stat().st_size,
        "bytes_after": (temporary / file).stat().st_size,
    }
    artifacts.write_json(temporary / "parsimony.json", {**loaded.origin, "exported": measured})
    artifacts.seal(temporary)
    temporary.rename(out)
    return measured


def _layers(model: Any) -> list[BaseTunerLayer]:
    return [m for m in model.modules() if isinstance(m, BaseTunerLayer)]


def _additive(layer: BaseTunerLayer) -> bool:
    return bool(layer.supports_lora_conversion())


def _more_than_lora(model: Any) -> bool:
    """DoRA's magnitudes, or trained biases, which peft files under LoRA."""
    config = model.active_peft_config
    return getattr(config, "use_dora", False) or getattr(config, "bias", "none") != "none"


@torch.no_grad()
def _energies(layer: Any) -> np.ndarray:
    """Share of the update's squared singular values that the first 1, 2, ... hold."""
    (adapter,) = layer.active_adapters
    squares = torch.linalg.svdvals(layer.get_delta_weight(adapter).double()).square().cumsum(0)
    found: np.ndarray = (squares / squares[-1].clamp(min=math.ulp(0.0))).numpy()
    return found if squares[-1] > 0 else np.ones_like(found)


def _write(model: Any, folder: Path, rank: int) -> None:
    """peft's files of the conversion; what was saved whole (the head) goes along as it is."""
    config, tensors = peft.convert_to_lora(model, rank)
    saved = [f".{name}." for name in config.modules_to_save or ()]
    whole = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    factors = {key: value for key, value in tensors.items() if ".lora_" in key}
    heads = {key: value for key, value in whole.items() if any(s in key for s in saved)}
    config.task_type, config.inference_mode = model.active_peft_config.task_type, True
    folder.mkdir(parents=True)
    config.save_pretrained(str(folder))
    kept = {key: value.detach().contiguous() for key, value in {**factors, **heads}.items()}
    save_file(kept, folder / "adapter_model.safetensors", metadata={"format": "pt"})
