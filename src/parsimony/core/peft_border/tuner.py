"""A tuner of our own: its configuration, its place among peft's methods, and its injection."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import peft
import torch
from aenum import extend_enum
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.tuners import tuners_utils
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import constants, register_peft_method
from torch import nn
from torch.nn.utils import parametrize

from parsimony.core.errors import InputError, ParsimonyError
from parsimony.core.peft_border.layer import AdapterLayer
from parsimony.core.peft_border.lookup import NO_TARGET, linear_modules, unmergeable


@dataclass
class AdapterConfig(peft.PeftConfig):  # type: ignore[misc]
    """What peft reads of every configuration; a tuner of ours adds its own fields, with defaults.

    Attributes:
        kind: peft's type of the method, upper-case; its lower-case form begins every parameter's
            name.
        target_modules: endings of the names of the layers to adapt, one pattern, or
            ``"all-linear"``; ``None`` for peft's default of the architecture.
        exclude_modules: endings or one pattern of those to leave out.
        modules_to_save: modules trained and saved whole.
        layers_to_transform: indexes of the blocks to adapt; ``None`` for all.
        layers_pattern: name of the list of blocks, where it is not the first number in the path.
        target_parameters: parameters instead of modules; not supported.
        bias: ``"none"``; biases of the base layer stay frozen.
        dropout: probability of zeroing an entry of the adapter's input in training, in [0, 1).
    """

    kind: ClassVar[str]

    target_modules: list[str] | set[str] | str | None = None
    exclude_modules: list[str] | set[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    target_parameters: list[str] | None = None
    bias: str = "none"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = peft.PeftType(self.kind)
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            setattr(self, name, set(value) if isinstance(value, list) else value)
        if self.target_parameters or self.bias != "none":
            raise InputError(
                f"{type(self).__name__} adapts modules and leaves biases frozen",
                got={"target_parameters": self.target_parameters, "bias": self.bias},
                hint="Name layers in target_modules and leave these two at their defaults",
            )
        if not 0 <= self.dropout < 1:
            raise InputError("dropout must be at least 0 and below 1", got=self.dropout)

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Write ``adapter_config.json``, and in the model card what loading needs."""
        super().save_pretrained(save_directory, **kwargs)
        card = Path(save_directory) / "README.md"
        note = f"`import {type(self).__module__}` before loading: it brings {self.kind}."
        if card.is_file() and note not in card.read_text(encoding="utf-8"):
            card.write_text(f"{card.read_text(encoding='utf-8')}\n\n{note}\n", encoding="utf-8")


Tuner = TypeVar("Tuner", bound="type[AdapterTuner]")


def register(config: type[AdapterConfig]) -> Callable[[Tuner], Tuner]:
    """Class decorator: make a tuner known to peft as the method of ``config``.

    Raises:
        ParsimonyError: peft has another method of that name.
    """

    def decorate(tuner: Tuner) -> Tuner:
        name = config.kind.lower()
        tuner.prefix = f"{name}_"
        if config.kind in peft.PeftType.__members__:
            known: Any = peft.PEFT_TYPE_TO_TUNER_MAPPING.get(peft.PeftType(config.kind))
            if (known.__module__, known.__qualname__) != (tuner.__module__, tuner.__qualname__):
                raise ParsimonyError(f"peft has a method called '{name}' already", got=known)
            # The same module imported again: the newer classes take the place of the older ones.
            for mapping in (
                peft.PEFT_TYPE_TO_TUNER_MAPPING,
                peft.PEFT_TYPE_TO_CONFIG_MAPPING,
                PEFT_TYPE_TO_PREFIX_MAPPING,
            ):
                del mapping[peft.PeftType(config.kind)]
        else:
            extend_enum(peft.PeftType, config.kind, config.kind)
        register_peft_method(name=name, config_cls=config, model_cls=tuner)
        return tuner

    return decorate


class AdapterTuner(BaseTuner):  # type: ignore[misc]
    """Puts the layers of one method into a model; the base of every tuner of ours.

    Attributes:
        tuner_layer_cls: the method's ``AdapterLayer``.
        shared_names: names of the parameters that all layers share, each a ``ParameterDict`` by
            adapter on the tuner; they begin with the prefix. A layer finds them in
            ``self.shared[name][adapter]``.
    """

    tuner_layer_cls: type[AdapterLayer]
    target_module_mapping: Any = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    shared_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.uses_shared_state = bool(cls.shared_names)

    def frozen_shared(self, config: Any) -> tuple[str, ...]:
        """Names of the shared parameters that never train."""
        return ()

    def check_together(self, config: Any, targets: dict[str, nn.Module]) -> None:
        """Refuse, or warn of, what is best said of all targets in one message.

        Args:
            config: of the adapter.
            targets: the layers it will adapt, by path; each has passed the layer's own ``check``.
        """

    def create_shared(self, config: Any, targets: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
        """Initial values of the shared parameters of one adapter, by name.

        Args:
            config: of the adapter.
            targets: the layers it will adapt, by path.
        """
        return {}

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        """Add an adapter; everything that can be refused is refused before the model changes.

        Raises:
            InputError: a name that peft would lose on loading; targets that match nothing; a
                layer that the method cannot adapt.
        """
        config: Any = self.peft_config[adapter_name]
        if adapter_name in self.prefix:
            raise InputError(
                f"an adapter's name must not be part of '{self.prefix}'", got=adapter_name,
                hint="peft would lose its weights on loading; choose another name",
            )  # fmt: skip
        config = self._prepare_adapter_config(config, self.get_model_config(model))
        config = tuners_utils._maybe_include_all_linear_layers(config, model)
        targets = self._targets(config, model)
        for path, layer in targets.items():
            self._check(config, path, layer)
        self.check_together(config, targets)
        stores = {name: self._store(name) for name in self.shared_names}
        for name, value in self.create_shared(config, targets).items():
            stores[name][adapter_name] = nn.Parameter(value)
        super().inject_adapter(model, adapter_name, *args, **kwargs)

    def _store(self, name: str) -> nn.ParameterDict:
        if name not in self._modules:
            self.add_module(name, nn.ParameterDict())
        return self._modules[name]  # type: ignore[return-value]

    def _targets(self, config: AdapterConfig, model: nn.Module) -> dict[str, nn.Module]:
        """The base layers that the configuration names, by path."""
        if config.target_modules == NO_TARGET:
            return {}
        found: dict[str, nn.Module] = {}
        inside: tuple[str, ...] = ()
        for path, module in model.named_modules():
            if not path or path.startswith(inside or "\0"):
                continue
            if isinstance(module, BaseTunerLayer):
                inside += (f"{path}.",)
            if self._check_target_module_exists(config, path):
                wrapped = isinstance(module, BaseTunerLayer)
                found[path] = module.get_base_layer() if wrapped else module
        if not found:
            raise InputError(
                "target_modules must name layers of the model", got=config.target_modules,
                hint=f"Its linear layers end in {sorted(_endings(model))}",
            )  # fmt: skip
        return found

    def _check(self, config: AdapterConfig, path: str, layer: nn.Module) -> None:
        kinds = self.tuner_layer_cls.kinds
        names = {base.__name__ for base in type(layer).__mro__}
        if parametrize.is_parametrized(layer):
            raise InputError(
                f"{path} is parametrized: the weight it stores is not the one it uses",
                hint="Remove its parametrizations first, or leave it out of target_modules",
            )
        if not names & set(kinds):
            raise InputError(
                f"{config.kind.lower()} adapts {', '.join(kinds)}", got=f"{path}: {layer}",
                hint="Leave it out of target_modules",
            )  # fmt: skip
        self.tuner_layer_cls.check(config, path, layer)

    def _create_and_replace(
        self,
        config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, config)
            return
        shared = {name: self._store(name) for name in self.shared_names}
        layer = self.tuner_layer_cls(target, current_key, shared)
        layer.set_adapter(adapter_name)
        layer.update_layer(adapter_name, config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        # peft looks for the name at the end or one before; a module of ours may reach deeper.
        owner = rf"((?:^|\.){re.escape(cls.prefix)}\w*)"
        return re.sub(rf"{owner}\.{re.escape(adapter_name)}(?=\.|$)", r"\1", key)

    def _replace_module(
        self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module
    ) -> None:
        inner = child.base_layer if isinstance(child, BaseTunerLayer) else child
        if hasattr(inner, "weight"):
            super()._replace_module(parent, child_name, new_module, child)
        else:  # a module of several layers has no weight that peft could hand over
            setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        if not self.tuner_layer_cls.additive:
            raise unmergeable(self.prefix.rstrip("_"))
        tied = self._get_tied_target_modules(self.model)
        if tied:
            raise InputError(
                "merging into tied weights would change the input embedding too", got=tied,
                hint="Load the model with tie_word_embeddings=False, or keep the adapter",
            )  # fmt: skip

    @contextlib.contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        if kwargs.get("adapter_names") is not None:
            raise InputError(
                f"{self.prefix.rstrip('_')} takes one set of adapters per batch",
                got=kwargs["adapter_names"], hint="Use set_adapter, and batches by adapter",
            )  # fmt: skip
        yield

    def _shared(self) -> Iterator[tuple[str, nn.Parameter, bool]]:
        """(adapter, parameter, whether it may train) of everything shared."""
        for name in self.shared_names:
            for adapter, parameter in self._store(name).items():
                yield adapter, parameter, name not in self.frozen_shared(self.peft_config[adapter])

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        for adapter, parameter, trains in self._shared():
            active = adapter in self.active_adapters and not inference_mode
            parameter.requires_grad = active and trains

    def set_requires_grad(self, adapter_names: Any, requires_grad: bool = True) -> None:
        super().set_requires_grad(adapter_names, requires_grad)
        named = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        for adapter, parameter, trains in self._shared():
            if adapter in named:
                parameter.requires_grad = requires_grad and trains

    def delete_adapter(self, adapter_name: str) -> None:
        super().delete_adapter(adapter_name)
        for name in self.shared_names:
            store = self._store(name)
            if adapter_name in store:
                del store[adapter_name]
        for adapter, parameter, trains in self._shared():
            parameter.requires_grad = adapter in self.active_adapters and trains

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        super()._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)
        if not autocast_adapter_dtype:
            return
        narrow = (torch.bfloat16, torch.float16)
        for adapter, parameter, _ in self._shared():
            if adapter == adapter_name and parameter.dtype in narrow:
                parameter.data = parameter.data.float()
        for layer in self.model.modules():
            if isinstance(layer, AdapterLayer) and layer.store is nn.ModuleDict:
                for name in layer.adapter_layer_names:
                    store = getattr(layer, name)
                    # peft casts parameters only; running statistics must keep up with them.
                    for buffer in store[adapter_name].buffers() if adapter_name in store else ():
                        if buffer.dtype in narrow:
                            buffer.data = buffer.data.float()


def refuse_unmergeable(model: nn.Module, method: str) -> None:
    """Raise where the adapter of ``model`` cannot be folded into the base weights.

    Raises:
        InputError: naming the method and what to do instead.
    """
    tuner = getattr(model, "base_model", None)
    if isinstance(tuner, AdapterTuner):
        if not tuner.tuner_layer_cls.additive:
            raise unmergeable(method)
        tuner._check_merge_allowed()
    elif not hasattr(tuner, "merge_and_unload"):
        raise unmergeable(method)


def _endings(model: nn.Module) -> set[str]:
    return {name.rpartition(".")[2] for name in linear_modules(model, [])}
