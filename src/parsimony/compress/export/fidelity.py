"""A model as its codes have it, and a reloaded model against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from parsimony.compress.export.format import AnyCodes, Format
from parsimony.compress.grid import fake_quantize_tokens
from parsimony.compress.llm_int8 import Int8Linear, RowCodes
from parsimony.core.errors import ParsimonyError

# Relative difference of logits that rounding may make between the same weights. Where activations
# are quantized, a last bit of one moves it by a whole step of its grid.
_SAME_WEIGHTS = 0.02
_SAME_WEIGHTS_AND_STEPS = 0.5


@contextmanager
def rounded(
    layers: Mapping[str, nn.Module], codes: Mapping[str, AnyCodes], activations: int | None
) -> Iterator[None]:
    """Within the context, layers compute with the weights that their codes stand for.

    int8 rows compute as LLM.int8() does, their inputs in 8 bits too, large features apart.

    Args:
        layers: by name, ``Linear`` or ``Conv1D``.
        codes: of each, shape (outputs, inputs).
        activations: bits that each token's inputs are rounded to; ``None`` for float.
    """
    own = {name: cast(Tensor, layer.weight).data for name, layer in layers.items()}
    hooks = []
    try:
        for name, layer in layers.items():
            weight = codes[name].weight(own[name].dtype)
            layer.weight.data = weight if isinstance(layer, nn.Linear) else weight.T.contiguous()
            if isinstance(code := codes[name], RowCodes):
                hooks.append(layer.register_forward_hook(_int8(code)))
            elif activations is not None:
                hooks.append(layer.register_forward_pre_hook(_tokens(activations)))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, layer in layers.items():
            layer.weight.data = own[name]


def _tokens(bits: int) -> Any:
    def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (fake_quantize_tokens(inputs[0], bits), *inputs[1:])

    return hook


def _int8(codes: RowCodes) -> Any:
    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return Int8Linear(codes, layer.bias)(inputs[0])

    return hook


@torch.no_grad()
def outputs(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Logits (or a base model's hidden states) of a batch, float32."""
    device = next(model.parameters()).device
    first = model(**{key: value.to(device) for key, value in batch.items()})[0]
    found: Tensor = first.float().cpu()
    return found


def relative(found: Tensor, exact: Tensor) -> float:
    """Root mean square of the difference over that of ``exact``."""
    return float((found - exact).norm() / exact.norm().clamp(min=torch.finfo(torch.float32).tiny))


def compare(
    model: nn.Module, reloaded: nn.Module, form: Format, batch: Mapping[str, Tensor]
) -> float:
    """Check that a reloaded model is the one in memory, and tell how far its logits are.

    Args:
        model: in memory, with the codes' weights (see ``rounded``).
        reloaded: from the folder.
        form: the folder's format.
        batch: keyword arguments of the forward call.

    Returns:
        Relative difference of the logits; 0 but where arithmetic differs.

    Raises:
        ParsimonyError: a weight differs by a bit, or logits by more than rounding makes.
    """
    form.ready(reloaded)
    expected = outputs(model, batch)
    found = outputs(reloaded, batch)
    tensors = reloaded.state_dict()
    for name, value in model.state_dict().items():
        layer, _, last = name.rpartition(".")
        other: Tensor | None = tensors.get(name)
        if layer in form.codes and last == "weight":
            other = form.weight(reloaded.get_submodule(layer)).to(value.dtype)
            value = value if isinstance(form.layers[layer], nn.Linear) else value.T
        if other is None or not torch.equal(other.to(value.device), value):
            raise ParsimonyError(
                f"'{name}' is not read back from {form.name} as it was written",
                hint="Nothing was kept; report this with the model's architecture",
            )
    difference = relative(found, expected)
    int8 = any(isinstance(code, RowCodes) for code in form.codes.values())
    steps = form.activations is not None or int8
    if not difference <= (_SAME_WEIGHTS_AND_STEPS if steps else _SAME_WEIGHTS):
        raise ParsimonyError(
            f"logits of the reloaded {form.name} model must be those of the model in memory",
            got=difference,
            hint="Nothing was kept; report this with the model's architecture",
        )
    return difference
