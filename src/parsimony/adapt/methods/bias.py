"""Bias tuning: a trained offset on every linear layer's output (BitFit; Ben Zaken 2106.10199).

Carried by peft's BEFT, which adds the offset beside the layer, so layers without a bias of their
own get one too and the base stays untouched.
"""

import peft

from parsimony.adapt.method import Facts, Method


class Bias(Method):
    """W x + b + delta for every linear layer outside the head; no size knob."""

    name = "bias"
    source = "arXiv 2106.10199"
    learning_rates = (1e-3, 1e-2)

    def refusal(self, facts: Facts) -> str | None:
        return None if facts.linear else "the model has no linear layer outside its head"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.BeftConfig(task_type=facts.task_type, target_modules=list(facts.linear))
