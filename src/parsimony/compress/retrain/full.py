"""Full: all kept weights of the pruned layers, the baseline that needs the most memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from parsimony.compress.held import Held
from parsimony.compress.masks import Masks
from parsimony.compress.retrainer import Part, Retrainer


@dataclass(frozen=True)
class Full(Retrainer):
    """Every weight that has a mask; what was removed stays removed."""

    name = "full"
    changes_weights = True

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        masked = {root.get_parameter(name): mask for name, mask in masks.items()}
        held = Held(masked)
        return Part(list(masked), callbacks=(held,), release=held.release)
