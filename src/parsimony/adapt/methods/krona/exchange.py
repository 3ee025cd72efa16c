"""Files of KronA for and from other software: LoKr, and the checkpoints of the paper's authors."""

from __future__ import annotations

import re
from pathlib import Path

import peft
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from parsimony.adapt.methods.krona.tuner import KronaConfig, KronaLayer
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.peft_border import weight_shape


def export_lycoris(
    model: nn.Module, file: Path, *, prefix: str = "lora_unet", adapter: str = "default"
) -> None:
    """Write a KronA adapter as LoKr with full factors under the keys of kohya and LyCORIS.

    Args:
        model: adapted with KronA.
        file: safetensors, written anew.
        prefix: ``"lora_unet"``, or ``"lora_te"`` for a text encoder.
        adapter: which.

    Raises:
        InputError: no such adapter; one whose update is no Kronecker product.
    """
    tensors = {}
    for path, (a, b) in _products(model, adapter).items():
        name = f"{prefix}_{path.replace('.', '_')}"
        # Read with full factors, but ignored: the scale is in w1.
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
        tensors[f"{name}.lokr_w1"], tensors[f"{name}.lokr_w2"] = a, b
    save_file(tensors, file)


def export_lokr(model: nn.Module, folder: Path, *, adapter: str = "default") -> None:
    """Write a KronA adapter in peft's own form as LoKr.

    peft's LoKr splits outputs and inputs alike, so A must be square and as large in every layer.

    Args:
        model: adapted with KronA.
        folder: gets ``adapter_config.json`` and ``adapter_model.safetensors``.
        adapter: which.

    Raises:
        InputError: no such adapter; other factors; an update that is no Kronecker product.
    """
    products = _products(model, adapter)
    sizes = {size for a, _ in products.values() for size in a.shape}
    if len(sizes) > 1:
        raise InputError(
            "peft's LoKr takes one size for the rows and columns of every A", got=sorted(sizes),
            hint="Use export_lycoris, or train with a1 = a2 in every layer",
        )  # fmt: skip
    rank = max(size for _, b in products.values() for size in b.shape)  # none is split further
    config = peft.LoKrConfig(
        r=rank, alpha=rank, decompose_factor=sizes.pop(), target_modules=list(products)
    )
    config.save_pretrained(str(folder))
    tensors = {}
    for path, (a, b) in products.items():
        tensors[f"base_model.model.{path}.lokr_w1"] = a
        tensors[f"base_model.model.{path}.lokr_w2"] = b
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})


def _products(model: nn.Module, adapter: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """(scale A, B) of every layer, by path."""
    found = {}
    for layer in model.modules():
        if isinstance(layer, KronaLayer) and adapter in layer.settings:
            if layer.settings[adapter].shuffled:
                raise InputError(
                    f"the update of '{adapter}' must be a Kronecker product to be LoKr",
                    hint="It keeps the order of the authors' checkpoint; merge it instead",
                )
            a, b = layer.krona_A[adapter].detach(), layer.krona_B[adapter].detach()
            found[layer.path] = ((layer.scaling[adapter] * a).contiguous(), b.contiguous())
    if not found:
        raise InputError("the model has no KronA adapter of that name", got=adapter)
    return found


_OFFICIAL = (
    # diffusers 0.21: attention processors of the UNet, patched maps of the text encoder
    (re.compile(r"(.+)\.processor\.to_(q|k|v)_lora\.(down|up)\.weight"), r"\1.to_\2"),
    (re.compile(r"(.+)\.processor\.to_(out)_lora\.(down|up)\.weight"), r"\1.to_out.0"),
    (re.compile(r"(.+)\.(\w+)\.lora_linear_layer\.(down|up)\.weight"), r"\1.\2"),
)


def load_official(model: nn.Module, file: Path, *, part: str = "unet") -> peft.PeftModel:
    """Put a checkpoint of the authors' code (IBM/DiffuseKronA) on a model.

    Its ``down`` is A transposed, its ``up`` is B, and its outputs are ordered otherwise than in a
    Kronecker product, so the adapter is ``shuffled``: it merges, but does not export to LoKr.

    Args:
        model: the UNet, or the text encoder, that the checkpoint was trained on; changed in place.
        file: safetensors.
        part: beginning of its keys: ``"unet"`` or ``"text_encoder"``.

    Raises:
        ArtifactError: keys that are not of that code, or of which one half is missing.
        InputError: a layer that the model lacks or that does not fit the factors.
    """
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in load_file(file).items():
        if not key.startswith(f"{part}."):
            continue
        for pattern, target in _OFFICIAL:
            match = pattern.fullmatch(key.removeprefix(f"{part}."))
            if match:
                pairs.setdefault(match.expand(target), {})[match[3]] = value
                break
        else:
            raise ArtifactError(f"{file} must hold KronA weights of the authors' code", got=key)
    halves = sorted(path for path, pair in pairs.items() if len(pair) < 2)
    if halves or not pairs:
        raise ArtifactError(
            f"{file} must hold 'down' and 'up' of every map under '{part}.'", got=halves
        )
    layers = dict(model.named_modules())
    for path, pair in pairs.items():
        (a2, a1), (b1, b2) = pair["down"].shape, pair["up"].shape
        if path not in layers or weight_shape(layers[path]) != (a1 * b1, a2 * b2):
            raise InputError(
                f"the model must have a layer {path} with {a1 * b1} outputs and {a2 * b2} inputs",
                got=layers.get(path), hint=f"Give the model that {file} was trained on",
            )  # fmt: skip
    config = KronaConfig(
        target_modules=list(pairs),
        factor_pattern={re.escape(p): tuple(pair["down"].T.shape) for p, pair in pairs.items()},
        shuffled=True,
    )
    adapted = peft.get_peft_model(model, config)
    for layer in adapted.modules():
        if isinstance(layer, KronaLayer):
            layer.krona_A["default"].data.copy_(pairs[layer.path]["down"].T)
            layer.krona_B["default"].data.copy_(pairs[layer.path]["up"])
    return adapted
