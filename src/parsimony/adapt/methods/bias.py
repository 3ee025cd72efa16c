"""Bias tuning: train the biases of the linear layers (BitFit; Ben Zaken et al. 2021, 2106.10199).

Carried by peft's BEFT, which adds an offset beside the layer, so the base stays untouched. Layers
without a bias are left alone: an offset of theirs could not be folded into the base.
"""

import peft

from parsimony.adapt.method import Facts, Method


class Bias(Method):
    """W x + b + delta for every linear layer with a bias outside the head; no size knob."""

    name = "bias"
    source = "arXiv 2106.10199"
    learning_rates = (1e-3, 1e-2)

    def refusal(self, facts: Facts) -> str | None:
        if not facts.biased:
            return "the model has no linear layer with a bias outside its head"
        if set(facts.biased) & set(facts.conv1d):
            return "peft's bias tuning cannot adapt Conv1D layers such as this model's"
        return None

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.BeftConfig(task_type=facts.task_type, target_modules=list(facts.biased))
