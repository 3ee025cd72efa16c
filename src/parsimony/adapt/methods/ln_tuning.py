"""LayerNorm tuning: train the normalisation layers alone (Zhao et al. 2023, 2312.11420)."""

import peft

from parsimony.adapt.method import Facts, Method


class LnTuning(Method):
    """Scale and shift of every normalisation layer; no size knob."""

    name = "ln-tuning"
    source = "arXiv 2312.11420"
    learning_rates = (1e-3, 1e-2)

    def refusal(self, facts: Facts) -> str | None:
        return None if facts.norms else "the model has no trainable normalisation layer"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LNTuningConfig(task_type=facts.task_type, target_modules=list(facts.norms))
