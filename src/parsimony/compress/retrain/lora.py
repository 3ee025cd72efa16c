"""LoRA on the pruned layers, which ignores their masks: it stays beside the model.

W + (alpha / r) B A is dense, so merging it would lose the zeros; ``retrainer.merge`` refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

import peft
from torch import nn

from parsimony.compress.masks import Masks
from parsimony.compress.retrainer import Part, Retrainer


def on_masked(masks: Masks) -> list[str]:
    """Names of the layers that have masks, as target modules."""
    return [name.removesuffix(".weight") for name in masks]


@dataclass(frozen=True)
class Lora(Retrainer):
    """peft's LoRA, without dropout.

    Attributes:
        r: rank.
        alpha: numerator of the scale alpha / r.
    """

    name = "lora"
    changes_weights = True
    merges = False

    r: int = 16
    alpha: float = 32.0

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        names = on_masked(masks)
        transposed = any(not isinstance(root.get_submodule(n), nn.Linear) for n in names)
        config = peft.LoraConfig(
            r=self.r, lora_alpha=self.alpha, target_modules=names, fan_in_fan_out=transposed
        )
        return Part(adapter=peft.get_peft_model(root, config))
