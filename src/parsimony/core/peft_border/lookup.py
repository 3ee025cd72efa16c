"""What peft knows of architectures, and loading of its adapters that accepts no silence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper, constants
from safetensors.torch import load_file
from torch import nn

from parsimony.core.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

T = TypeVar("T")

# An adapter with this target matches no module on purpose: only the task head trains.
NO_TARGET: str = constants.DUMMY_TARGET_MODULES

TASK_TYPES = {
    "text-classification": "SEQ_CLS",
    "text-pair-classification": "SEQ_CLS",
    "regression": "SEQ_CLS",
    "causal-lm": "CAUSAL_LM",
    "instruction": "CAUSAL_LM",
    "code": "CAUSAL_LM",
    # peft names no task of sounds; this one saves the head, and its forward passes on what it gets.
    "audio-classification": "SEQ_CLS",
}

# Where peft's own tables stop. Query and value as LoRA's authors and Cappellazzo et al. 2024 (arXiv
# 2312.03694) choose; (IA)3 as its authors place it: keys, values and inside the feed-forward.
_MORE_TARGETS = {
    ("audio-spectrogram-transformer", "LORA"): ["q_proj", "v_proj"],
    ("audio-spectrogram-transformer", "IA3"): ["k_proj", "v_proj", "mlp.fc2"],
}
_MORE_FEEDFORWARD = {"audio-spectrogram-transformer": ["mlp.fc2"]}


def default_targets(settings: PretrainedConfig, mapping: str = "LORA") -> list[str] | str:
    """peft's own target modules for the architecture, else every linear layer but the head.

    Args:
        settings: the model's config; its ``model_type`` is looked up.
        mapping: which of peft's tables, e.g. ``"LORA"``, ``"IA3"``, ``"LNTUNING"``.
    """
    table = getattr(constants, f"TRANSFORMERS_MODELS_TO_{mapping}_TARGET_MODULES_MAPPING")
    ours = _MORE_TARGETS.get((settings.model_type, mapping), "all-linear")
    return table.get(settings.model_type, ours)  # type: ignore[no-any-return]


def feedforward_targets(settings: PretrainedConfig) -> list[str] | None:
    """The modules (IA)3 scales on their input side, where peft knows the architecture."""
    table = constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
    return table.get(settings.model_type, _MORE_FEEDFORWARD.get(settings.model_type))  # type: ignore[no-any-return]


def norm_modules(model: nn.Module) -> list[str]:
    """Full names of the normalisation layers: torch's and those named ``...Norm`` (RMS norms)."""
    return [
        name
        for name, module in model.named_modules()
        if type(module).__name__.endswith("Norm") and any(True for _ in module.parameters())
    ]


def linear_modules(model: nn.Module, head: list[str]) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of every linear layer outside the task head, GPT-2's Conv1D included."""
    found = {}
    for name, module in model.named_modules():
        if name.split(".")[-1] in head or not hasattr(module, "weight"):
            continue
        if isinstance(module, nn.Linear):
            found[name] = (module.in_features, module.out_features)
        elif type(module).__name__ == "Conv1D":
            found[name] = (module.weight.shape[0], module.weight.shape[1])
    return found


def head_modules(model: nn.Module) -> list[str]:
    """Names of the task head that peft saves along with every classification adapter."""
    present = {name.split(".")[-1] for name, _ in model.named_modules()}
    return [name for name in ("classifier", "score") if name in present]


def by_pattern(patterns: Mapping[str, T], path: str, default: T) -> T:
    """The value of the first pattern that the layer called ``path`` ends in or matches."""
    found = (v for p, v in patterns.items() if re.fullmatch(rf"(.*\.)?({p})", path))
    return next(found, default)


def load_adapter(model: nn.Module, folder: Path, trainable: bool = False) -> peft.PeftModel:
    """``PeftModel.from_pretrained`` that accepts no silence: every key of the file must be used.

    Raises:
        ArtifactError: no adapter there; a key of the file that the model has no place for; a key
            of the model that the file lacks; a value that differs after loading.
    """
    file = folder / "adapter_model.safetensors"
    if not file.is_file() or not (folder / "adapter_config.json").is_file():
        raise ArtifactError("an adapter folder needs adapter_config.json and its safetensors",
                            got=str(folder))  # fmt: skip
    try:
        loaded = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=trainable)
    except (RuntimeError, KeyError) as error:
        raise ArtifactError(
            f"the adapter in {folder} does not fit this model ({type(error).__name__}: {error})",
            hint="Load it on the base model named in its parsimony.json",
        ) from error
    saved = load_file(file)
    present = peft.get_peft_model_state_dict(loaded, save_embedding_layers=False)
    unused = sorted(saved.keys() - present.keys())
    missing = sorted(present.keys() - saved.keys())
    changed = [k for k in saved.keys() & present.keys() if not _same(saved[k], present[k])]
    for what, keys in (("unused", unused), ("missing", missing), ("changed", sorted(changed))):
        if keys:
            raise ArtifactError(
                f"every key of the adapter in {folder} must be used, but {len(keys)} are {what}",
                got=keys[0],
                hint="Load it on the base model named in its parsimony.json",
            )
    return loaded


def _same(saved: torch.Tensor, present: torch.Tensor) -> bool:
    return torch.equal(saved, present.detach().cpu().to(saved.dtype))


def merged(model: peft.PeftModel) -> nn.Module:
    """``merge_and_unload``, also where the head is several layers.

    peft 0.21 gives the ``weight`` of every module that it saved whole to its replacement, which the
    heads of RoBERTa and of the Audio Spectrogram Transformer lack; those are put back first.
    """
    whole: Any = model.base_model.model
    for name, module in list(whole.named_modules()):
        if isinstance(module, ModulesToSaveWrapper) and not hasattr(module, "weight"):
            trained = module.unload_and_optionally_merge_module(
                merge=True, safe_merge=False, adapter_names=None
            )
            whole.set_submodule(name, trained)
    plain: nn.Module = model.merge_and_unload()
    return plain


def adapted_layers(model: peft.PeftModel) -> dict[str, Any]:
    """The layers that an active adapter of ``model`` is in, by their names in its base model."""
    active = set(model.active_adapters)
    return {
        name: layer
        for name, layer in model.get_base_model().named_modules()
        if isinstance(layer, BaseTunerLayer)
        and not active.isdisjoint(layer._all_available_adapter_names())
    }


def fold(model: peft.PeftModel, merge: bool = True) -> None:
    """Take the layers of the active adapters out of the base model, merged into it or not.

    Unlike ``merge_and_unload`` it leaves the layers of other adapters on the same base alone.

    Raises:
        InputError: a result that is not finite.
    """
    base = model.get_base_model()
    for name, layer in adapted_layers(model).items():
        if merge:
            layer.merge(safe_merge=True)
        base.set_submodule(name, layer.get_base_layer())


def unmergeable(method: str) -> InputError:
    """The error for a method whose adapter cannot be folded into the base weights."""
    return InputError(
        f"'{method}' cannot be merged into the base weights",
        hint="Load it as an adapter instead; the report shows how",
    )
