"""Full fine-tuning: every parameter trains; the baseline where the budget allows it."""

import peft
from torch import nn

from parsimony.adapt.method import Facts, Method


class Full(Method):
    """No adapter; the result is a model folder."""

    name = "full"
    source = "Howard and Ruder 2018, arXiv 1801.06146"
    learning_rates = (2e-5, 5e-4)
    baseline = True
    full = True

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        raise TypeError("full fine-tuning has no peft configuration")

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        return model.requires_grad_(True)
