"""A model's layers: find them, train some of them, damp their adapters, count what they keep.

A layer is a member of the model's longest list of modules, a transformer block as a rule. What
trains is decided by ``requires_grad`` and a gradient of ``None``: an optimizer skips such a
parameter, where a gradient of zero would let AdamW move it by momentum and weight decay. So the
optimizer must be built while all layers train, before the first call of ``train_only``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from parsimony.core.errors import InputError, nearest

# What peft calls the frozen module inside its own: of a tuner's layer, of a module saved whole.
_FROZEN_PARTS = ("base_layer", "original_module")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a model.

    Attributes:
        name: full path in the model.
        module: the layer itself.
        parameters: those of its parameters that trained when it was found, by path in the model.
    """

    name: str
    module: nn.Module
    parameters: Mapping[str, nn.Parameter]


def find(
    model: nn.Module, path: str | Sequence[str] | None = None, *, trained: bool = False
) -> tuple[Layer, ...]:
    """The layers of ``model``, first to last.

    Without a path: the longest ``ModuleList`` that lies in no member of another (so that the
    experts of a block are no layers). An encoder-decoder has two, the encoder's first.

    Args:
        model: any module.
        path: names of the lists, whole or from any dot on, such as ``"model.layers"``.
        trained: only layers in which something trains.

    Raises:
        InputError: no list; a path that no list or more than one has; with ``trained``, nothing
            that trains, or a layer whose adapters are all frozen beside others that train.
    """
    lists = _lists(model)
    if path is None:
        chosen = _longest(model, lists, trained)
    else:
        chosen = [_named(lists, part) for part in ([path] if isinstance(path, str) else path)]
    layers = tuple(layer for name in chosen for layer in _members(name, lists[name]))
    if not trained:
        return layers
    training = tuple(layer for layer in layers if layer.parameters)
    if not training:
        raise InputError(
            "something in the layers must train",
            got=chosen,
            hint="Give the model adapters in its layers, or name other layers",
        )
    idle = [layer.name for layer in layers if not layer.parameters and _adapters(layer)]
    if idle:
        raise InputError(
            "all layers with adapters must train at first: an optimizer holds what trains then",
            got=idle,
            hint="They may be frozen since an interrupted run; model.set_adapter lets them train",
        )
    return training


def _lists(model: nn.Module) -> dict[str, nn.ModuleList]:
    """Every list of modules that is not itself in a member of another, by path."""
    found: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) and not inside:
            found[name] = module
    if not found:
        raise InputError(
            "a model's layers must be a list of modules (torch.nn.ModuleList)",
            got=type(model).__name__,
        )
    return found


def _longest(model: nn.Module, lists: dict[str, nn.ModuleList], trained: bool) -> list[str]:
    two = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    held = {
        name: sum(1 for layer in _members(name, members) if layer.parameters or not trained)
        for name, members in lists.items()
    }
    first = sorted(lists, key=lambda name: -held[name])[: 2 if two else 1]
    return [name for name in lists if name in first]


def _named(lists: dict[str, nn.ModuleList], path: str) -> str:
    matching = [name for name in lists if name == path or name.endswith(f".{path}")]
    if len(matching) != 1:
        raise InputError(
            "a path must name one list of the model's layers",
            got=path,
            hint=f"It fits {matching}" if matching else nearest(path, lists),
        )
    return matching[0]


def _members(name: str, members: nn.ModuleList) -> list[Layer]:
    return [
        Layer(
            f"{name}.{index}",
            member,
            {
                f"{name}.{index}.{inner}": parameter
                for inner, parameter in member.named_parameters()
                if parameter.requires_grad
            },
        )
        for index, member in enumerate(members)
    ]


def train_only(layers: Sequence[Layer], active: Collection[int]) -> None:
    """Let the layers numbered in ``active`` train, and no other; those get gradient ``None``.

    Parameters that did not train when the layers were found stay as they are.
    """
    for index, layer in enumerate(layers):
        for parameter in layer.parameters.values():
            parameter.requires_grad_(index in active)
            if index not in active:
                parameter.grad = None


@contextmanager
def damped(layers: Iterable[Layer], factor: float) -> Iterator[None]:
    """Within the context, what the adapters of ``layers`` change counts ``factor`` times.

    A tuner that has a scaling per adapter (LoRA and its kin, and every tuner of ours that uses
    it) has it multiplied, each value by itself, and put back to the bit. Every other one has its
    output moved towards the frozen layer's, ``base(x) + factor * (adapted(x) - base(x))``: for
    (IA)3 that is l -> 1 + factor (l - 1), for tuned norms and biases the interpolation from the
    original to the tuned value.

    Args:
        layers: as ``find`` returns them.
        factor: 0 for the frozen layer, 1 for no change.

    Raises:
        InputError: a layer trains something that no adapter holds, see ``check_adapters``.
    """
    chosen = list(layers)
    check_adapters(chosen)
    with ExitStack() as restore:
        for layer in chosen:
            for module, base in _adapters(layer):
                if not _scale(module, factor, restore):
                    handle = module.register_forward_hook(_towards(base, factor), with_kwargs=True)
                    restore.callback(handle.remove)
        yield


def check_adapters(layers: Iterable[Layer]) -> None:
    """Check that all that trains in ``layers`` stands beside a frozen original.

    Raises:
        InputError: a parameter of the base model trains in place; it is named.
    """
    for layer in layers:
        beside = {
            id(parameter)
            for module, _ in _adapters(layer)
            for name, parameter in module.named_parameters()
            if name.split(".")[0] not in _FROZEN_PARTS
        }
        for name, parameter in layer.parameters.items():
            if id(parameter) not in beside:
                raise InputError(
                    "only adapters can be damped: what trains must leave the original in place",
                    got=name,
                    hint="It is a weight of the model itself; train it through an adapter",
                )


def _adapters(layer: Layer) -> list[tuple[nn.Module, nn.Module]]:
    """peft's modules in a layer, each with what it would compute without its adapters."""
    return [
        (module, module._modules[name])  # type: ignore[misc]
        for module in layer.module.modules()
        for name in _FROZEN_PARTS
        if name in module._modules  # not hasattr: peft's wrappers pass names on to what they wrap
    ]


def _scale(module: nn.Module, factor: float, restore: ExitStack) -> bool:
    """Multiply a tuner layer's scaling; whether it has one that can be."""
    scaling = module.__dict__.get("scaling")
    scale_layer: Any = getattr(type(module), "scale_layer", None)
    if not isinstance(scaling, dict) or scale_layer is None:
        return False
    before = dict(scaling)
    restore.callback(scaling.update, before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tuners say here that they cannot, and do nothing
        scale_layer(module, factor)
    return before != scaling


def _towards(base: nn.Module, factor: float) -> Any:
    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> torch.Tensor:
        original = base(*args, **kwargs)
        moved: torch.Tensor = original + factor * (output - original)
        return moved

    return hook


@dataclass(frozen=True)
class SavedBytes:
    """What a forward pass keeps for the backward pass, layer by layer.

    The backward pass needs activations only from the lowest layer that trains up, and an adapter
    that does not train does not keep its input.

    Attributes:
        trained: bytes that a layer keeps while it trains.
        frozen: bytes that it keeps while it is frozen and a layer below it trains.
        below: bytes that it keeps while no layer up to it trains; 0 unless something before the
            layers does, such as an embedding.
        rest: bytes kept outside the layers.
    """

    trained: tuple[int, ...]
    frozen: tuple[int, ...]
    below: tuple[int, ...]
    rest: int

    def of(self, active: Collection[int]) -> int:
        """Bytes kept while the layers numbered in ``active`` train.

        An upper bound by a few percent: the lowest of them, whose own input needs no gradient,
        is counted as if it did.
        """
        lowest = min(active, default=len(self.trained))
        kept = (*self.below[:lowest], *self.frozen[lowest:])
        return self.rest + sum(
            self.trained[index] if index in active else kept[index] for index in range(len(kept))
        )


def saved_bytes(model: nn.Module, batch: Mapping[str, Any]) -> int:
    """Bytes that one forward pass keeps for the backward pass, parameters and buffers left out.

    Storages count once, whole, however many operations keep a view of them. What activation
    checkpointing stores is not seen.

    Args:
        model: in the mode, and with the ``requires_grad``, to be measured; the random state is
            left as it was.
        batch: keyword arguments of the forward call.
    """
    return sum(_count_saved(model, batch, ()))


def saved_by_layer(
    model: nn.Module, batch: Mapping[str, Any], layers: Sequence[Layer]
) -> SavedBytes:
    """Measure ``SavedBytes`` with three forward passes; every layer trains afterwards."""
    try:
        train_only(layers, ())
        below = _count_saved(model, batch, layers)
        train_only(layers, (0,))
        frozen = _count_saved(model, batch, layers)
    finally:
        train_only(layers, range(len(layers)))
    *trained, rest = _count_saved(model, batch, layers)
    return SavedBytes(tuple(trained), (below[0], *frozen[1:-1]), tuple(below[:-1]), rest)


def _count_saved(model: nn.Module, batch: Mapping[str, Any], layers: Sequence[Layer]) -> list[int]:
    """Bytes newly kept within each layer, then those outside of all."""
    counts = [0] * (len(layers) + 1)
    inside = [len(layers)]  # which layer is running; the last entry holds
    held = {_address(tensor) for tensor in (*model.parameters(), *model.buffers())}
    kept: list[torch.Tensor] = []  # alive, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if _address(tensor) not in held:
            held.add(_address(tensor))
            kept.append(tensor)
            counts[inside[-1]] += tensor.untyped_storage().nbytes()
        return tensor

    def enter(index: int) -> Callable[..., None]:
        return lambda *_: inside.append(index)

    def leave(*_: Any) -> None:
        inside.pop()

    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with ExitStack() as stack:
        for index, layer in enumerate(layers):
            stack.callback(layer.module.register_forward_pre_hook(enter(index)).remove)
            stack.callback(layer.module.register_forward_hook(leave).remove)
        stack.enter_context(torch.random.fork_rng(devices=list(devices)))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor))
        model(**batch)
    return counts


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
