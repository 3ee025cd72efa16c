"""What a way to retrain is, how combinations are written, and how they sit on a model.

A way is one file in ``compress/retrain`` with one concrete subclass of ``Retrainer``;
``retrainers()`` finds it. Outside packages add theirs under the entry-point group
``parsimony.retrain``. A combination is written ``biases+norms+masklora:r=16``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import peft
import torch
from torch import nn
from transformers import TrainerCallback

from parsimony.compress import masks as masking
from parsimony.compress.masks import Masks
from parsimony.core import peft_border
from parsimony.core.errors import InputError, nearest
from parsimony.core.registry import discover

_NARROW = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class Part:
    """What one way has put on a model.

    Attributes:
        parameters: those of the model itself that train.
        adapter: what was added to the model, if anything; all of it trains.
        callbacks: what must go on during training.
        release: undoes whatever else was done to the parameters.
    """

    parameters: Sequence[nn.Parameter] = ()
    adapter: peft.PeftModel | None = None
    callbacks: Sequence[TrainerCallback] = ()
    release: Callable[[], None] = lambda: None


class Retrainer(ABC):
    """One way to retrain; a frozen dataclass, whose fields are its options.

    Attributes:
        name: as users write it.
        changes_weights: it trains the pruned weights or what is added to them; a combination has
            one such at most.
        merges: what it adds can become part of the weights without loss of a zero.
    """

    name: ClassVar[str]
    changes_weights: ClassVar[bool] = False
    merges: ClassVar[bool] = True

    def check(self, root: nn.Module, masks: Masks) -> None:  # noqa: B027 (most refuse nothing)
        """Refuse what cannot be done, before anything changes.

        Args:
            root: a model, or one block of it.
            masks: keep-masks by parameter name in ``root``.

        Raises:
            InputError: with what to choose instead.
        """

    @abstractmethod
    def attach(self, root: nn.Module, masks: Masks) -> Part:
        """Put on ``root`` what trains; arguments as in ``check``."""

    def __str__(self) -> str:
        options = dataclasses.asdict(self).items()  # type: ignore[call-overload]
        said = ",".join(f"{key}={value:g}" for key, value in options)
        return f"{self.name}:{said}" if said else self.name


@functools.cache
def retrainers() -> dict[str, type[Retrainer]]:
    """Every way to retrain by name."""
    return discover("parsimony.compress.retrain", Retrainer, "parsimony.retrain")


def parse(text: str) -> tuple[Retrainer, ...]:
    """Read a combination such as ``biases+norms+masklora:r=16,alpha=32``.

    Raises:
        InputError: an unknown way or option; a way named twice; two that change the weights.
    """
    found = tuple(_one(part.strip()) for part in text.split("+"))
    names = [way.name for way in found]
    if len(set(names)) < len(names):
        raise InputError("a combination names each way to retrain once", got=text)
    both = [way.name for way in found if way.changes_weights]
    if len(both) > 1:
        raise InputError(
            "one way at most may train the pruned weights", got=both, hint=f"Leave out {both[-1]}"
        )
    return found


def _one(text: str) -> Retrainer:
    name, _, given = text.partition(":")
    if name not in retrainers():
        raise InputError("unknown way to retrain", got=name, hint=nearest(name, retrainers()))
    kind: Any = retrainers()[name]
    types = {field.name: type(field.default) for field in dataclasses.fields(kind)}
    options = {}
    for option in filter(None, given.split(",")):
        key, _, value = (word.strip() for word in option.partition("="))
        if key not in types:
            hint = nearest(key, types) if types else ""
            raise InputError(f"{name} has the options {sorted(types)}", got=key, hint=hint)
        try:
            options[key] = types[key](value)
        except ValueError:
            kinds = {int: "a whole number", float: "a number"}
            raise InputError(f"{key} of {name} is {kinds[types[key]]}", got=value) from None
    found: Retrainer = kind(**options)
    return found


class Attached:
    """A combination on a model, or on a block of one; the rest is frozen until it is merged.

    What trains of a 16-bit model is in float32 meanwhile, and the forward pass must run inside
    ``computing``.

    Args:
        root: the model or block; changed in place.
        ways: as ``parse`` returns them.
        masks: keep-masks by parameter name in ``root``.
        seed: of the adapters' initial values.

    Attributes:
        parameters: what trains, by name in ``root``.
        callbacks: of all parts.
        kept: the adapter that stays beside the model's weights, if there is one.

    Raises:
        InputError: masks of another model; what a way refuses.
    """

    def __init__(
        self, root: nn.Module, ways: Sequence[Retrainer], masks: Masks, seed: int = 0
    ) -> None:
        masking.check(root, masks)
        for way in ways:
            way.check(root, masks)
        self._masks = masks
        half = ((p.device.type, p.dtype) for p in root.parameters() if p.dtype in _NARROW)
        self._half = next(half, None)
        self._trained_before = [p for p in root.parameters() if p.requires_grad]
        self._narrow: dict[nn.Parameter, torch.dtype] = {}
        self._parts: list[Part] = []
        self._adapters: list[peft.PeftModel] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                for way in ways:
                    self._attach(way, root)
            except InputError:
                self.remove()
                raise
        root.requires_grad_(False)
        own = {id(p) for part in self._parts for p in part.parameters}
        chosen = own | {id(p) for adapter in self._adapters for p in _added(adapter)}
        self.parameters = {n: p for n, p in root.named_parameters() if id(p) in chosen}
        self.callbacks = [callback for part in self._parts for callback in part.callbacks]
        kept = [part.adapter for way, part in zip(ways, self._parts, strict=True) if not way.merges]
        self.kept = kept[0] if kept else None
        for parameter in self.parameters.values():
            parameter.requires_grad = True
        self._narrow = {p: p.dtype for p in self._widened(root) if p.dtype in _NARROW}
        for parameter in self._narrow:
            parameter.data = parameter.data.float()

    def _attach(self, way: Retrainer, root: nn.Module) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a second adapter and a tied head are both meant
            part = way.attach(root, self._masks)
        vars(root).pop("peft_config", None)  # so that peft takes the next one for the first
        self._parts.append(part)
        if part.adapter is not None:
            self._adapters.append(part.adapter)

    def _widened(self, root: nn.Module) -> list[nn.Parameter]:
        """What trains, and the rest of each norm that does: torch takes no norm of two types."""
        norms = [[*root.get_submodule(n).parameters()] for n in peft_border.norm_modules(root)]
        beside = [p for norm in norms if any(p.requires_grad for p in norm) for p in norm]
        return [*self.parameters.values(), *beside]

    def computing(self) -> contextlib.AbstractContextManager[object]:
        """Where a 16-bit model's forward pass must run; elsewhere nothing changes."""
        if self._half is None:
            return contextlib.nullcontext()
        return torch.autocast(*self._half)

    def merge(self) -> None:
        """Fold everything into the model's own weights, in their own types.

        Raises:
            InputError: a removed weight would come back.
        """
        self._restore()
        for adapter in self._adapters:
            if adapter is not self.kept:
                merge(adapter, self._masks)

    def remove(self) -> None:
        """Take everything off again without merging."""
        self._restore()
        for adapter in self._adapters:
            peft_border.fold(adapter, merge=False)

    def _restore(self) -> None:
        for parameter, dtype in self._narrow.items():
            parameter.data = parameter.data.to(dtype)
        for part in self._parts:
            part.release()
        for parameter in self._trained_before:
            parameter.requires_grad = True


def count(model: nn.Module, method: str) -> tuple[int, int]:
    """How many parameters a combination trains when all linear layers of the blocks are pruned.

    Args:
        model: on the meta device; changed.
        method: see ``parse``.

    Returns:
        (those that train, those of the model itself).
    """
    from parsimony.core.prunable import block_linears

    total = sum(p.numel() for p in model.parameters())
    masks = {
        f"{name}.weight": torch.ones_like(layer.weight, dtype=torch.bool)  # type: ignore[arg-type]
        for name, layer in block_linears(model).items()
    }
    with torch.device("meta"):
        attached = Attached(model, parse(method), masks)
    return sum(p.numel() for p in attached.parameters.values()), total


def merge(adapted: peft.PeftModel, masks: Masks) -> nn.Module:
    """Fold an adapter into a pruned model, if no removed weight comes back by that.

    An output projection that is the embedding gets a weight of its own by that.

    Args:
        adapted: a pruned model with an adapter of any kind on it.
        masks: keep-masks by parameter name in the model below the adapter.

    Returns:
        The model itself, without the adapter.

    Raises:
        InputError: the density would grow, with both densities.
    """
    base, total = adapted.get_base_model(), sum(mask.numel() for mask in masks.values())
    back, layers = 0, peft_border.adapted_layers(adapted)
    with torch.no_grad():
        for name, layer in layers.items():
            if (mask := masks.get(f"{name}.weight")) is None:
                continue
            removed = ~mask.to(layer.get_base_layer().weight.device)
            for adapter in layer.active_adapters:
                back += int((layer.get_delta_weight(adapter)[removed] != 0).sum())
    if back:
        before = masking.sparsity(masks)
        raise InputError(
            "merging must leave removed weights at zero",
            got=f"an adapter that takes the zeros from {before:.1%} to {before - back / total:.1%}",
            hint="Retrain with masklora or lora-prune, or keep this adapter beside the model",
        )
    for layer in layers.values():
        _untie(base, layer.get_base_layer())
    peft_border.fold(adapted)
    return base


def _added(adapted: peft.PeftModel) -> list[nn.Parameter]:
    """The parameters of an adapter."""
    return [
        parameter
        for layer in peft_border.adapted_layers(adapted).values()
        for name, parameter in layer.named_parameters()
        if not name.startswith("base_layer.")
    ]


def _untie(model: nn.Module, layer: nn.Module) -> None:
    """Give a layer whose weight is an embedding's one of its own."""
    if any(layer.weight is m.weight for m in model.modules() if isinstance(m, nn.Embedding)):
        layer.weight = nn.Parameter(layer.weight.detach().clone())  # type: ignore[operator]
        model.config.tie_word_embeddings = False  # type: ignore[union-attr]
