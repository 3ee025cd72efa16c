"""Frozen weights in fewer bits: which layers, how they are loaded, and stand-ins to count with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from parsimony.core.cost import on_meta
from parsimony.core.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BITS = {"8bit": 8, "4bit": 4}
_BLOCK = 64  # values of a 4-bit layer that share a scale
_TAKE_THEIR_TYPE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.LayerNorm)


def quantized_layers(model: nn.Module, base: str, head: Sequence[str]) -> list[str]:
    """The dense layers that a quantized base stores in codes: all but the head and the output.

    A pooler stays as it is too: many checkpoints lack it, and it is drawn at random then. So does,
    in 4 bits, a layer with fewer inputs than a block has values: bitsandbytes 0.50 reads the
    scales of such a one wrongly on the CPU.

    Args:
        model: on any device.
        base: one of ``core.thrift.BASES``.
        head: names of the task head's modules.
    """
    output = model.get_output_embeddings()  # type: ignore[operator]
    kept = {*head, "pooler"}
    fewest = {"8bit": 1, "4bit": _BLOCK}.get(base, math.inf)
    return [
        name
        for name, layer in _dense(model)
        if not kept & set(name.split(".")) and layer is not output and _inputs(layer) >= fewest
    ]


def _inputs(layer: nn.Module) -> int:
    first, second = layer.weight.shape  # type: ignore[union-attr,misc]
    return second if isinstance(layer, nn.Linear) else first


def _dense(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (name, layer)
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear or type(layer).__name__ == "Conv1D"
    ]


def loading(
    base: str, build: Callable[[], nn.Module], head: Sequence[str], device: str
) -> dict[str, Any]:
    """What ``from_pretrained`` is told so that it loads ``base`` (see ``core.thrift``).

    Args:
        base: one of ``core.thrift.BASES``.
        build: makes a model of this architecture.
        head: names of the task head's modules.
        device: where quantized weights go; others stay on the CPU.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    if base == "fp32":
        return {"dtype": torch.float32}
    if base == "bf16":
        return {"dtype": torch.bfloat16}
    require("bitsandbytes", "adapt")
    import transformers

    configured: Any = transformers.BitsAndBytesConfig
    model = on_meta(build)
    coded = set(quantized_layers(model, base, head))
    settings: dict[str, Any] = {"load_in_8bit": True}
    if base == "4bit":
        settings = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": torch.bfloat16,
        }
    whole = [name for name, _ in _dense(model) if name not in coded]
    return {
        "dtype": torch.bfloat16,
        "quantization_config": configured(llm_int8_skip_modules=whole, **settings),
        "device_map": {"": device},
    }


def settle(model: nn.Module, head: Sequence[str]) -> None:
    """Make a base in fewer bits trainable: its head in float32, its 4-bit codes in one layout.

    What trains is in float32 and may hand on float32 (a normalisation, a scale), so every layer
    that is not in codes takes its input in its own type; bitsandbytes' do so by themselves.
    """
    for name, module in model.named_modules():
        if name.split(".")[-1] in head and not set(name.split(".")[:-1]) & set(head):
            module.float()
        weighs = isinstance(module, _TAKE_THEIR_TYPE) or type(module).__name__ == "Conv1D"
        if weighs and module.weight.is_floating_point():  # type: ignore[union-attr,operator]
            module.register_forward_pre_hook(_as_stored)
    keep_codes(model)


def keep_codes(model: nn.Module) -> None:
    """Leave the codes of bitsandbytes' layers in the order in which they are stored.

    It would reorder them at the first evaluation, on some processors only, and round the scales: a
    run would depend on when and where it was evaluated. Layers of some shapes would fail.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def _as_stored(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs of a layer in the type of its weight."""
    dtype: Any = module.weight.dtype
    return tuple(x.to(dtype) if torch.is_tensor(x) and x.is_floating_point() else x for x in inputs)


def stand_in(model: nn.Module, base: str, head: Sequence[str]) -> nn.Module:
    """``model`` on the meta device as ``loading`` and ``settle`` would leave it; changed in place.

    Quantized layers become stand-ins of bitsandbytes' own type that hold tensors of the same
    sizes and allocate what theirs do.
    """
    if base == "fp32":
        return model
    coded = quantized_layers(model, base, head)
    for parameter in model.parameters():  # of buffers, loading leaves the type alone
        parameter.data = parameter.data.to(torch.bfloat16)
    if base in _BITS:
        from parsimony.core.quantized import stand_in as layer

        for name in coded:
            model.set_submodule(name, layer(model.get_submodule(name), _BITS[base]))
        setattr(model, f"is_loaded_in_{base}", True)
    settle(model, head)
    return model


def widen_trained(model: nn.Module, own: set[int]) -> None:
    """What an adapter brought and trains, in float32; changed in place.

    Args:
        model: an adapted one.
        own: ``id`` of each parameter that the base had; they stay as they are.
    """
    for parameter in model.parameters():
        if parameter.requires_grad and id(parameter) not in own:
            parameter.data = parameter.data.float()


def widened(reduced: PreTrainedModel, plain: PreTrainedModel) -> PreTrainedModel:
    """``plain``, a float32 model, with the values that ``reduced`` stores; changed in place."""
    with torch.no_grad():
        for name, layer in plain.named_modules():
            other = reduced.get_submodule(name)
            for key, parameter in layer.named_parameters(recurse=False):
                value = getattr(other, key)
                if key == "weight" and not value.is_floating_point():
                    from parsimony.core.quantized import values

                    value = values(other)
                    value = value.T if type(layer).__name__ == "Conv1D" else value
                parameter.copy_(value)
    return plain
