"""Biases: every bias of every module, LayerNorms' included (Zimmer et al. 2023, 2312.15230)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from parsimony.compress.masks import Masks
from parsimony.compress.retrainer import Part, Retrainer
from parsimony.core.errors import InputError


@dataclass(frozen=True)
class Biases(Retrainer):
    """All that is called ``bias``."""

    name = "biases"

    def check(self, root: nn.Module, masks: Masks) -> None:
        if not _biases(root):
            raise InputError(
                "retraining biases needs a model that has some",
                got=type(root).__name__,
                hint="Retrain 'norms' instead",
            )

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        return Part(_biases(root))


def _biases(root: nn.Module) -> list[nn.Parameter]:
    named = dict(root.named_parameters())
    return [parameter for name, parameter in named.items() if name.split(".")[-1] == "bias"]
