"""LoRA-Prune: train LoRA, and throw away what of it falls on removed weights (Zimmer et al. 2023).

Trains W + s B A, merges W + s M o (B A). In evaluation the forward pass is that of the merged
model already.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from parsimony.compress.masks import Masks
from parsimony.compress.retrain.masklora import put_on
from parsimony.compress.retrainer import Part, Retrainer


@dataclass(frozen=True)
class LoraPrune(Retrainer):
    """LoRA in training, MaskLoRA in evaluation and when merged.

    Attributes:
        r: rank.
        alpha: numerator of the scale s = alpha / r.
    """

    name = "lora-prune"
    changes_weights = True

    r: int = 16
    alpha: float = 32.0

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        return put_on(root, masks, self.r, self.alpha, masked=False)
