"""Adapters on sub-layers of a frozen transformer: what bottleneck adapters and Compacter share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from transformers.activations import ACT2FN

from parsimony.adapt.methods.bottleneck import placement
from parsimony.core.errors import InputError, nearest
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    norm_modules,
    weight_shape,
)

PAPER_PLACEMENTS = {"houlsby": "attention+ffn", "pfeiffer": "ffn"}


@dataclass
class SublayerConfig(AdapterConfig):
    """Where the adapters stand, how wide they are, and what trains beside them.

    Attributes:
        placement: ``"attention+ffn"`` (or ``"houlsby"``), ``"attention"``, ``"ffn"`` (or
            ``"pfeiffer"``) or ``"block"``; used where ``target_modules`` is ``None``.
        order: ``"serial"`` (the adapter reads the output that it adds to) or ``"parallel"`` (it
            reads the input of the sub-layer; only for architectures whose sub-layer is one
            module, or for modules named in ``target_modules``).
        reduction: model width over bottleneck width, at least 1.
        width: the bottleneck width k itself; ``None`` for model width // ``reduction``.
        activation: a name that transformers knows; ``None`` for the default of the block.
        scaling: factor on the update.
        train_norms: all normalisation layers of the model train too (and are saved, through
            ``modules_to_save``).
        adapter_drop: blocks without adapters at the start of each stack (Rücklé et al. 2021,
            AdapterDrop, arXiv 2010.11918).
    """

    placement: str = "attention+ffn"
    order: str = "serial"
    reduction: int = 16
    width: int | None = None
    activation: str | None = None
    scaling: float = 1.0
    train_norms: bool = False
    adapter_drop: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.placement = PAPER_PLACEMENTS.get(self.placement, self.placement)
        for field, known in (("placement", placement.PLACEMENTS), ("order", placement.ORDERS)):
            if getattr(self, field) not in known:
                raise placement.unknown(field, getattr(self, field), known)
        if self.activation is not None and self.activation not in ACT2FN:
            raise InputError(
                "activation must be one that transformers knows", got=self.activation,
                hint=nearest(self.activation, ACT2FN),
            )  # fmt: skip
        for field in ("reduction", "width"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise InputError(f"{field} must be at least 1", got=value)
        if self.adapter_drop < 0:
            raise InputError("adapter_drop must be at least 0", got=self.adapter_drop)

    def bottleneck(self, path: str, d: int) -> int:
        """Width k of the bottleneck beside hidden states of width ``d``.

        Raises:
            InputError: it is not in 1 .. d.
        """
        k = self.width if self.width is not None else d // self.reduction
        if not 1 <= k <= d:
            raise InputError(
                f"the bottleneck of an adapter at {path} must be 1 to {d} wide", got=k,
                hint=f"Lower reduction to at most {d}, or give width",
            )  # fmt: skip
        return k


class SublayerLayer(AdapterLayer):
    """A frozen layer, or a whole sub-layer, with adapters on its output.

    A method writes ``branch``. A module of several layers keeps its attributes and may return
    more than the hidden states, as attention does.
    """

    additive = False

    @classmethod
    def check(cls, config: Any, path: str, layer: nn.Module) -> None:
        config.bottleneck(path, placement.width_of(path, layer, config.order))

    def scale(self, config: Any) -> float:
        factor: float = config.scaling
        return factor

    def sizes(self, config: Any) -> tuple[int, int]:
        """(d, k): width of the hidden states and of the bottleneck."""
        d = placement.width_of(self.path, self.get_base_layer(), config.order)
        return d, config.bottleneck(self.path, d)

    def branch(self, adapter: str, h: torch.Tensor) -> torch.Tensor:
        """The adapter's update for hidden states ``h``; shape (..., d) both."""
        raise NotImplementedError

    def adapt(self, adapter: str, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        h = x if self.settings[adapter].order == "parallel" else output
        update = self.branch(adapter, self.adapter_dropout[adapter](self._cast(adapter, h)))
        return output + (self.scaling[adapter] * update).to(output.dtype)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return found
        x = args[0] if args else kwargs.get("hidden_states")
        output = found if isinstance(found, torch.Tensor) else found[0]
        if not (isinstance(output, torch.Tensor) and isinstance(x, torch.Tensor)):
            raise InputError(
                f"an adapter at {self.path} needs hidden states in, and hidden states out first",
                got=(type(x).__name__, type(found).__name__),
                hint="Name its output projection in target_modules instead",
            )
        for adapter in self.active_adapters:
            if adapter in self.settings:
                output = self.adapt(adapter, x, output)
        return output if isinstance(found, torch.Tensor) else (output, *found[1:])

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            base = self.__dict__.get("_modules", {}).get("base_layer")
            if base is None or weight_shape(base):
                raise
            return getattr(base, name)  # a model may ask its sub-layers for their attributes


class SublayerModel(AdapterTuner):
    """Finds the sub-layers, and opens the normalisation layers where they train too."""

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        config: Any = self.peft_config[adapter_name]
        by_place = config.target_modules is None
        if by_place:
            settings = self.get_model_config(model)
            config.target_modules = placement.pattern(
                settings.get("model_type"), config.placement, config.order, model
            )
        if config.adapter_drop or (by_place and config.layers_to_transform is not None):
            config.target_modules = self._kept(config, list(self._targets(config, model)))
        if config.train_norms:
            names = self._norm_names(model, set(config.modules_to_save or ()))
            config.modules_to_save = sorted({*(config.modules_to_save or []), *names})
        super().inject_adapter(model, adapter_name, *args, **kwargs)

    def _kept(self, config: SublayerConfig, paths: list[str]) -> set[str]:
        """Those of ``paths`` in the blocks that get adapters."""
        chosen = config.layers_to_transform
        allowed = {chosen} if isinstance(chosen, int) else chosen
        kept = set()
        for path in paths:
            index = placement.block_index(path)
            dropped = index is not None and index < config.adapter_drop
            if not dropped and (allowed is None or index in allowed):
                kept.add(path)
        if not kept:
            indices = map(placement.block_index, paths)
            blocks = sorted({index for index in indices if index is not None})
            raise InputError(
                "adapter_drop and layers_to_transform must leave a block with adapters",
                got=(config.adapter_drop, chosen),
                hint=f"The last block is {blocks[-1] if blocks else 0}",
            )
        return kept

    def _norm_names(self, model: nn.Module, saved: set[str]) -> list[str]:
        """Last parts of the names of the model's normalisation layers, as peft matches them.

        Those inside of ``saved`` modules, such as a task head, train with these; where the last
        parts would match them again, the names are given in full.

        Raises:
            InputError: there are none, or their names also end those of other modules.
        """

        def saved_whole(name: str) -> bool:
            return not saved.isdisjoint(name.split(".")[:-1])

        # A norm that trains for another adapter already is wrapped.
        paths = {n.partition(".modules_to_save.")[0].removesuffix(".original_module")
                 for n in norm_modules(model) if self.prefix not in n}  # fmt: skip
        original = {n for n in paths if not saved_whole(n)}
        if not original:
            classes = sorted({type(m).__name__ for m in model.modules()})
            raise InputError(
                "train_norms needs normalisation layers (classes named ...Norm), and 0 of the "
                f"model's modules match; its classes: {', '.join(classes)}",
                hint="Set train_norms=False, or name them in modules_to_save",
            )
        names = sorted({n.rpartition(".")[2] for n in original})
        others = [
            n for n, _ in model.named_modules()
            if n.endswith(tuple(names)) and n not in original and self.prefix not in n
        ]  # fmt: skip
        inside = any(map(saved_whole, others))
        if others and not inside:
            raise InputError(
                f"train_norms matches {len(original)} normalisation layers by {names}, and "
                "another module by accident",
                got=others[0],
                hint="Set train_norms=False, and name the norms in modules_to_save",
            )
        return sorted(original) if inside else names

    def _check(self, config: Any, path: str, layer: nn.Module) -> None:
        if weight_shape(layer):
            super()._check(config, path, layer)
        else:
            self.tuner_layer_cls.check(config, path, layer)
        d, widths = placement.width_of(path, layer, config.order), placement.norm_widths(self.model)
        if widths and d not in widths:
            raise InputError(
                f"an adapter stands where {path} writes to the residual stream, "
                f"{' or '.join(map(str, sorted(widths)))} wide",
                got=d,
                hint="Name output projections in target_modules, such as o_proj or down_proj",
            )


Config = TypeVar("Config", bound="type[SublayerConfig]")

# AdapterHub's names of what the methods on sub-layers share (Pfeiffer et al. 2020, 2007.07779).
ADAPTERHUB = {"reduction_factor": "reduction", "non_linearity": "activation"}


def takes_adapterhub_names(
    names: Mapping[str, str], fixed: Mapping[str, object] | None = None
) -> Callable[[Config], Config]:
    """Class decorator: the configuration also takes the names that AdapterHub's users know.

    ``mh_adapter`` and ``output_adapter`` become ``placement``, ``is_parallel`` becomes ``order``.

    Args:
        names: ours for theirs.
        fixed: theirs that have no counterpart because only one value is supported.
    """

    def decorate(config: Config) -> Config:
        plain: Any = config.__init__

        @functools.wraps(plain)
        def init(self: Any, *args: Any, **given: Any) -> None:
            for theirs in given.keys() & names.keys():
                if names[theirs] in given:
                    raise InputError(
                        f"AdapterHub's '{theirs}' is '{names[theirs]}' here, and one of them is "
                        "enough", got=(given[theirs], given[names[theirs]]),
                    )  # fmt: skip
                given[names[theirs]] = given.pop(theirs)
            for theirs, value in (fixed or {}).items():
                if given.pop(theirs, value) != value:
                    raise InputError(f"AdapterHub's '{theirs}' must be {value!r} here")
            if "mh_adapter" in given or "output_adapter" in given:
                chosen = [
                    part
                    for part, theirs in (("attention", "mh_adapter"), ("ffn", "output_adapter"))
                    if given.pop(theirs, False)
                ]
                given["placement"] = "+".join(chosen)
            if given.pop("is_parallel", False):
                given["order"] = "parallel"
            plain(self, *args, **given)

        config.__init__ = init  # type: ignore[method-assign]
        return config

    return decorate
