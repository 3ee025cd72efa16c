"""The layer of a tuner of our own: a frozen layer with adapters beside it."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from peft.tuners import tuners_utils
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.quantization_utils import resolve_quantization_backend
from torch import nn
from torch.nn import functional

from parsimony.core.errors import InputError

__all__ = ["AdapterLayer", "BufferDict", "weight_shape"]


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """Shape of a layer's weight, outputs first: (out, in), (out, in / groups, ...), or (rows, dim).

    GPT-2's Conv1D, which stores the transpose, and quantized layers, which store codes, included.
    A module of several layers has none: ().
    """
    if not hasattr(layer, "weight"):
        return ()
    if type(layer).__name__ == "Conv1D":
        rows, columns = layer.weight.shape  # type: ignore[union-attr,misc]
        return columns, rows
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    return tuple(layer.weight.shape)  # type: ignore[union-attr,arg-type]


class AdapterLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A frozen layer with adapters beside it; the base of every tuner layer of ours.

    A method says which layers it takes (``kinds``, ``check``), makes its parameters
    (``create``) and, where the update adds to the weight, gives that update (``delta``) and, if
    there is a cheaper way than through it, what it does to an input (``update``). Any other
    method sets ``additive = False`` and writes ``adapt``.

    Attributes:
        adapter_layer_names: names of its parameters, each a ``store`` by adapter.
        store: ``nn.ModuleDict`` where what an adapter adds is a module.
        frozen_names: those of them that never train.
        kinds: types of the layers it takes.
        additive: the update adds to the weight, so it can be merged.
    """

    other_param_names = ("settings", "scaling", "adapter_dropout")
    store: ClassVar[type[nn.ParameterDict | nn.ModuleDict]] = nn.ParameterDict
    frozen_names: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ("Linear", "Conv1D")
    additive: ClassVar[bool] = True

    def __init__(self, base_layer: nn.Module, path: str, shared: dict[str, Any]) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.path = path
        # Not a submodule: what all layers share belongs to the tuner and is saved once.
        object.__setattr__(self, "shared", shared)
        self.quantization_backend = resolve_quantization_backend(self.get_base_layer())
        self.shape = weight_shape(self.get_base_layer())
        self.settings: dict[str, Any] = {}
        self.scaling: dict[str, float] = {}
        self.adapter_dropout = nn.ModuleDict()
        self.frozen_peft_weight_names: dict[str, tuple[str, ...]] = {}
        for name in self.adapter_layer_names:
            setattr(self, name, self.store())
        self.merged_adapters: list[str] = []
        self._unmerged: Any = None

    # -- what a method writes -----------------------------------------------------------------

    @classmethod
    def check(cls, config: Any, path: str, layer: nn.Module) -> None:
        """Refuse a layer that the method cannot take with this configuration.

        Runs for all targets before the first is replaced.

        Raises:
            InputError: naming ``path``, the rule and what to change.
        """

    def create(self, adapter: str, config: Any) -> dict[str, Any]:
        """Initial values of an adapter's parameters, by the names in ``adapter_layer_names``.

        Tensors, or modules where ``store`` is ``nn.ModuleDict``.
        """
        raise NotImplementedError

    def scale(self, config: Any) -> float:
        """Initial factor on the update."""
        return 1.0

    def delta(self, adapter: str) -> torch.Tensor:
        """The update of the weight before scaling; shape as ``weight_shape``."""
        raise NotImplementedError

    def bias_delta(self, adapter: str) -> torch.Tensor | None:
        """The update of the bias before scaling, where the method has one; ``update`` adds it."""
        return None

    def update(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        """What the update adds to the output for input ``x``, before scaling."""
        return self.apply_weight(x, self.delta(adapter))

    def adapt(self, adapter: str, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """The output under one adapter, from the layer's input and the output so far."""
        update = self.update(adapter, self.adapter_dropout[adapter](self._cast(adapter, x)))
        return output + (self.scaling[adapter] * update).to(output.dtype)

    # -- what a method may use ------------------------------------------------------------------

    def apply_weight(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The base layer's operation without bias under another ``weight`` (outputs first)."""
        layer = self.get_base_layer()
        if isinstance(layer, nn.Embedding):
            found = functional.embedding(x, weight, layer.padding_idx)
            factor = self._get_embed_scale()  # type: ignore[no-untyped-call]
            return found if factor is None else found * factor
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            convolved: torch.Tensor = layer._conv_forward(x, weight, None)  # keeps padding_mode
            return convolved
        return functional.linear(x, weight)

    def base_weight(self) -> torch.Tensor:
        """The base layer's weight, outputs first, dequantized where it is quantized."""
        return self._outputs_first(self.get_base_weight())

    # -- what peft calls ------------------------------------------------------------------------

    def update_layer(self, adapter: str, config: Any) -> None:
        """Add an adapter."""
        self.settings[adapter] = config
        self.scaling[adapter] = self.scale(config)
        self.adapter_dropout[adapter] = nn.Dropout(config.dropout)
        values = self.create(adapter, config)
        for name in self.adapter_layer_names:
            if name in values:
                value = values[name]
                if isinstance(value, torch.Tensor):
                    # A loaded value is contiguous; another layout could round products otherwise.
                    value = nn.Parameter(value.contiguous())
                getattr(self, name)[adapter] = value
        if self.frozen_names:
            self.frozen_peft_weight_names[adapter] = self.frozen_names
        self._move_adapter_to_device_of_base_layer(adapter)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        output: torch.Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return output
        for adapter in self.active_adapters:
            if adapter in self.settings:
                output = self.adapt(adapter, x, output)
        return output

    def get_delta_weight(self, adapter: str) -> torch.Tensor:
        """The scaled update, laid out as the base layer stores its weight."""
        return self._outputs_first(self.scaling[adapter] * self.delta(adapter))

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the updates to the base weight; ``unmerge`` restores it to the bit.

        Raises:
            InputError: with ``safe_merge``, a result that is not finite.
        """
        for adapter in tuners_utils.check_adapters_to_merge(self, adapter_names):
            if adapter not in self.settings:
                continue
            before = self.get_base_weight()
            layer: Any = self.get_base_layer()
            with torch.no_grad():
                update = self.get_delta_weight(adapter)
                merged = {"weight": (before + update).to(before.dtype)}
                offset = self.bias_delta(adapter)
                if offset is not None:
                    update = self.scaling[adapter] * offset
                    merged["bias"] = (layer.bias + update).to(layer.bias.dtype)
            if safe_merge and not all(torch.isfinite(value).all() for value in merged.values()):
                raise InputError(
                    f"merging '{adapter}' into {self.path} must give finite values",
                    hint="The adapter is broken; train it again",
                )
            if not self.merged_adapters:
                self._unmerged = self._copy_of_base()
            self.set_base_weight(merged["weight"])
            if "bias" in merged:
                layer.bias.data = merged["bias"]
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Take all merged adapters out of the base weight."""
        if self.merged_adapters:
            if self.quantization_backend is None:
                for name, value in self._unmerged.items():
                    getattr(self.get_base_layer(), name).data = value
            else:
                self.base_layer = self._unmerged
            self._unmerged = None
            self.merged_adapters.clear()

    def set_scale(self, adapter: str, scale: float) -> None:
        """Factor on the update of ``adapter``, relative to the method's own."""
        if adapter in self.settings:
            self.scaling[adapter] = scale * self.scale(self.settings[adapter])

    def scale_layer(self, scale: float) -> None:
        """Multiply the factor of every active adapter."""
        for adapter in self.active_adapters:
            if adapter in self.settings:
                self.scaling[adapter] *= scale

    def unscale_layer(self, scale: float | None = None) -> None:
        """Undo ``scale_layer(scale)``; without an argument, whatever was done to the factors."""
        for adapter in self.active_adapters:
            if adapter in self.settings:
                initial = self.scale(self.settings[adapter])
                self.scaling[adapter] = initial if scale is None else self.scaling[adapter] / scale

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        embedding = isinstance(self.get_base_layer(), nn.Embedding)  # peft writes no keys for one
        return self.additive and len(self.shape) == 2 and not embedding

    def get_base_weight(self) -> torch.Tensor:
        weight = self.get_base_layer().weight
        if getattr(getattr(weight, "quant_state", None), "packing_format_for_cpu", False):
            # bitsandbytes shuffles 4-bit codes for its CPU kernels at the first forward, and peft
            # would dequantize them as they lie; making a state dict puts them back in order.
            self.get_base_layer().state_dict()
        return super().get_base_weight()

    def _get_base_layer_device_and_dtype(self, base_layer: nn.Module) -> Any:
        if self.shape:
            return super()._get_base_layer_device_and_dtype(base_layer)  # type: ignore[no-untyped-call]
        first = next(base_layer.parameters())  # of several layers, the first stands for all
        return first.device, first.dtype

    def _cast(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        """``x`` in the dtype of the adapter; indices are left alone."""
        for name in self.adapter_layer_names:
            store = getattr(self, name)
            if adapter in store and x.dtype.is_floating_point:
                value = store[adapter]
                first = value if isinstance(value, torch.Tensor) else next(value.parameters())
                return self._cast_input_dtype(x, first.dtype)
        return x

    def _outputs_first(self, weight: torch.Tensor) -> torch.Tensor:
        """Between outputs first and the layout of GPT-2's Conv1D; the same both ways."""
        return weight.T if type(self.get_base_layer()).__name__ == "Conv1D" else weight

    def _copy_of_base(self) -> Any:
        if self.quantization_backend is None:
            own = self.get_base_layer().named_parameters(recurse=False)
            return {name: value.detach().clone() for name, value in own}
        # Codes do not survive a round trip through floats: the layer itself is kept.
        return copy.deepcopy(self.base_layer)
