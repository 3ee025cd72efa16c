"""ScaleLoRA: every kept weight times an entry of a low-rank matrix (Zimmer et al. 2023).

(B A) o W with A and B filled with 1 / sqrt(r), so that all factors are 1 at first. A zero stays
zero whatever the factor, without a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import peft
import torch
from torch import nn

from parsimony.compress.masks import Masks
from parsimony.compress.retrain.lora import on_masked
from parsimony.compress.retrainer import Part, Retrainer
from parsimony.core.errors import InputError
from parsimony.core.peft_border import AdapterConfig, AdapterLayer, AdapterTuner, register


@dataclass
class ScaleLoraConfig(AdapterConfig):
    """ScaleLoRA on the target layers.

    Attributes:
        r: rank, at least 1.
    """

    kind: ClassVar[str] = "SCALELORA"

    r: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r < 1:
            raise InputError("a rank must be a whole number of at least 1", got=self.r)


class ScaleLoraLayer(AdapterLayer):
    """A dense layer with A (r, in) and B (out, r) beside it; the update is (B A - 1) o W."""

    adapter_layer_names = ("scalelora_A", "scalelora_B")

    def create(self, adapter: str, config: ScaleLoraConfig) -> dict[str, torch.Tensor]:
        outputs, inputs = self.shape
        value = config.r**-0.5
        return {
            "scalelora_A": torch.full((config.r, inputs), value),
            "scalelora_B": torch.full((outputs, config.r), value),
        }

    def delta(self, adapter: str) -> torch.Tensor:
        factors = self.scalelora_B[adapter] @ self.scalelora_A[adapter]
        return (factors - 1) * self.base_weight().to(factors.dtype)

    def base_weight(self) -> torch.Tensor:
        """Of two adapters merged one after the other, each scales the weight as it was."""
        if isinstance(self._unmerged, dict):
            return self._outputs_first(self._unmerged["weight"])
        return super().base_weight()


@register(ScaleLoraConfig)
class ScaleLoraModel(AdapterTuner):
    """peft's tuner of ``ScaleLoraConfig``."""

    tuner_layer_cls = ScaleLoraLayer


@dataclass(frozen=True)
class ScaleLora(Retrainer):
    """ScaleLoRA on every pruned layer.

    Attributes:
        r: rank.
    """

    name = "scalelora"
    changes_weights = True

    r: int = 16

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        config = ScaleLoraConfig(r=self.r, target_modules=on_masked(masks))
        return Part(adapter=peft.get_peft_model(root, config))
