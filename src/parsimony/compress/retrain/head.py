"""Head: LoRA on the output projection, which is not pruned, so that merging it is free.

A head that is the embedding gets a weight of its own when the update is merged: adapting it must
not change the embedding. The model then stores that matrix twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import peft
from torch import nn

from parsimony.compress.masks import Masks
from parsimony.compress.retrainer import Part, Retrainer
from parsimony.core.errors import InputError


@dataclass(frozen=True)
class Head(Retrainer):
    """peft's LoRA on the language-model head.

    Attributes:
        r: rank.
        alpha: numerator of the scale alpha / r.
    """

    name = "head"

    r: int = 16
    alpha: float = 32.0

    def check(self, root: nn.Module, masks: Masks) -> None:
        name = _head(root)
        if name is None:
            raise InputError(
                "retraining the head needs a model with an output projection",
                got=type(root).__name__,
                hint="A block has none: leave 'head' out when blocks are reconstructed",
            )
        if f"{name}.weight" in masks:
            raise InputError(
                "'head' adapts an output projection that is not pruned",
                got=f"a mask of {name}.weight",
                hint="Leave 'head' out: masklora adapts whatever has a mask",
            )

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        name = _head(root)
        assert name is not None
        config = peft.LoraConfig(r=self.r, lora_alpha=self.alpha, target_modules=[name])
        # An adapter of another name, beside one of the blocks.
        return Part(adapter=peft.PeftModel(root, config, adapter_name="head"))


def _head(root: nn.Module) -> str | None:
    """Name of the output projection."""
    find = getattr(root, "get_output_embeddings", lambda: None)
    head = find()
    return next((name for name, module in root.named_modules() if module is head), None)
