"""Norms: weight and bias of every LayerNorm, weight of every RMSNorm (Zimmer et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from parsimony.compress.masks import Masks
from parsimony.compress.retrainer import Part, Retrainer
from parsimony.core.errors import InputError
from parsimony.core.peft_border import norm_modules


@dataclass(frozen=True)
class Norms(Retrainer):
    """All parameters of all normalisation layers."""

    name = "norms"

    def check(self, root: nn.Module, masks: Masks) -> None:
        if not norm_modules(root):
            raise InputError(
                "retraining norms needs normalisation layers with parameters",
                got=type(root).__name__,
                hint="Retrain 'masklora' instead",
            )

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        modules = map(root.get_submodule, norm_modules(root))
        return Part([parameter for module in modules for parameter in module.parameters()])
