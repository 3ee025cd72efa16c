"""Random subspace training: theta = theta_0 + P v with P random and frozen, and only v trained.

Li et al. 2018 (arXiv 1804.08838, equation 2). ``Subspace`` puts all trainable tensors of any
module on one v; ``SubspaceConfig`` is the peft tuner that puts the weights of the target layers
on one v, which is all that is saved. The measurement that the paper is named for is
``parsimony.adapt.intrinsic_dimension``.

What is ours: see ``projections``; the tuner's P is drawn layer by layer, each layer with its share
of a column's square, so that no step touches more than the layer at hand.

It cannot pay in memory or time: every step forms the update of every weight. It tells how few
numbers would do.
"""

import peft
import torch
from torch import nn

from parsimony.adapt.method import Facts, LowRank
from parsimony.adapt.methods.subspace.module import Subspace
from parsimony.adapt.methods.subspace.projections import (
    PROJECTIONS,
    Projection,
    projection,
    walsh_hadamard,
)
from parsimony.adapt.methods.subspace.tuner import (
    SubspaceConfig,
    SubspaceLayer,
    SubspaceModel,
)

__all__ = [
    "PROJECTIONS",
    "Projection",
    "RandomSubspace",
    "Subspace",
    "SubspaceConfig",
    "SubspaceLayer",
    "SubspaceModel",
    "projection",
    "walsh_hadamard",
]


class RandomSubspace(LowRank):
    """Found by ``parsimony adapt``; the size is d."""

    name = "subspace"
    source = "arXiv 1804.08838"
    size_name = "d"
    # A step of size e in v moves all weights together by e.
    learning_rates = (3e-3, 1e-1)

    def sizes(self, facts: Facts) -> list[int]:
        shapes = facts.targeted(facts.targets()).values()
        entries = sum(inputs * outputs for inputs, outputs in shapes)
        return [d for d in (10 * 2**power for power in range(10)) if d <= entries // 2]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return SubspaceConfig(
            task_type=facts.task_type, d=size, dropout=dropout, target_modules=facts.targets()
        )

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        torch.manual_seed(seed)
        config = self.config(facts, size, dropout)
        config.seed = seed  # P is drawn from this, not from torch's generator
        return peft.get_peft_model(model, config)
