"""MaskLoRA: a low-rank update that only reaches what pruning kept (Zimmer et al. 2023).

W + (alpha / r) M o (B A), with the keep-mask M in every forward pass: merging is exact and no zero
is lost. B A is formed at full size, which makes it slower than LoRA.

The masks are given to the configuration, and from then on are the layers' own: they are saved
with the adapter, never read off zeros. ``masked`` may be switched off for training, when the
forward pass is LoRA's and the mask counts in evaluation and on merging alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import peft
import torch
from torch import nn
from torch.nn import functional

from parsimony.compress.masks import Masks
from parsimony.compress.retrain.lora import on_masked
from parsimony.compress.retrainer import Part, Retrainer
from parsimony.core.errors import InputError
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    BufferDict,
    register,
    weight_shape,
)

STORED = "stored with the adapter"


@dataclass
class MaskLoraConfig(AdapterConfig):
    """MaskLoRA on the target layers.

    Attributes:
        r: rank, at least 1.
        alpha: numerator of the scale alpha / r.
        masks: keep-masks by parameter, such as ``"model.layers.0.mlp.up_proj.weight"``, as
            ``compress.pruning.prune`` returns and ``compress.masks.load`` reads them. Once the
            adapter is on a model, or saved, it says that they are stored with it.
        masked: the mask counts in training too; without, see the module.
    """

    kind: ClassVar[str] = "MASKLORA"

    r: int = 16
    alpha: float = 32.0
    masks: Mapping[str, torch.Tensor] | str | None = None
    masked: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r < 1:
            raise InputError("a rank must be a whole number of at least 1", got=self.r)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it: without the masks."""
        given = isinstance(self.masks, Mapping)
        return {**vars(self), "masks": STORED if given else self.masks}


class MaskLoraLayer(AdapterLayer):
    """A dense layer with A (r, in), B (out, r) and a keep-mask (out, in) beside it."""

    adapter_layer_names = ("masklora_A", "masklora_B")
    other_param_names = (*AdapterLayer.other_param_names, "masklora_mask")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.masklora_mask = BufferDict(persistent=True)

    @classmethod
    def check(cls, config: MaskLoraConfig, path: str, layer: nn.Module) -> None:
        if config.masks == STORED:
            return
        mask = (config.masks or {}).get(f"{path}.weight")  # type: ignore[union-attr]
        if mask is None:
            raise InputError(
                f"masklora needs the keep-mask of {path}",
                hint="Give masks, as compress.pruning.prune returns or compress.masks.load reads",
            )
        stored = weight_shape(layer)[:: -1 if type(layer).__name__ == "Conv1D" else 1]
        if tuple(mask.shape) != stored:
            raise InputError(f"the mask of {path} has its weight's shape {stored}",
                             got=tuple(mask.shape))  # fmt: skip

    def create(self, adapter: str, config: MaskLoraConfig) -> dict[str, torch.Tensor]:
        outputs, inputs = self.shape
        bound = inputs**-0.5  # Kaiming uniform with a = sqrt(5), as LoRA's A
        return {
            "masklora_A": torch.empty(config.r, inputs).uniform_(-bound, bound),
            "masklora_B": torch.zeros(outputs, config.r),
        }

    def scale(self, config: MaskLoraConfig) -> float:
        return config.alpha / config.r

    def update_layer(self, adapter: str, config: MaskLoraConfig) -> None:
        device = self.get_base_layer().weight.device
        if isinstance(config.masks, Mapping):
            mask = self._outputs_first(config.masks[f"{self.path}.weight"])
            # A copy: what the caller does to the mask later is not the adapter's affair.
            mask = mask.to(device, torch.bool).clone(memory_format=torch.contiguous_format)
        else:  # nothing passes until the stored mask is loaded
            mask = torch.zeros(self.shape, dtype=torch.bool, device=device)
        self.masklora_mask[adapter] = mask
        super().update_layer(adapter, config)

    def delta(self, adapter: str) -> torch.Tensor:
        product = self.masklora_B[adapter] @ self.masklora_A[adapter]
        return product * self.masklora_mask[adapter]

    def update(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        if self.training and not self.settings[adapter].masked:
            low = functional.linear(x, self.masklora_A[adapter])
            return functional.linear(low, self.masklora_B[adapter])
        return super().update(adapter, x)


@register(MaskLoraConfig)
class MaskLoraModel(AdapterTuner):
    """peft's tuner of ``MaskLoraConfig``."""

    tuner_layer_cls = MaskLoraLayer

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        self.peft_config[adapter_name].masks = STORED


@dataclass(frozen=True)
class MaskLora(Retrainer):
    """MaskLoRA on every pruned layer.

    Attributes:
        r: rank.
        alpha: numerator of the scale alpha / r.
    """

    name = "masklora"
    changes_weights = True

    r: int = 16
    alpha: float = 32.0

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        return put_on(root, masks, self.r, self.alpha, masked=True)


def put_on(root: nn.Module, masks: Masks, r: int, alpha: float, masked: bool) -> Part:
    """A MaskLoRA on every layer of ``root`` that has a mask; see ``MaskLoraConfig``."""
    config = MaskLoraConfig(
        r=r, alpha=alpha, masks=masks, masked=masked, target_modules=on_masked(masks)
    )
    return Part(adapter=peft.get_peft_model(root, config))
