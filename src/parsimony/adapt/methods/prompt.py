"""Prompt tuning: trained vectors in front of the text (Lester et al. 2021, 2104.08691)."""

import peft

from parsimony.adapt.method import Facts, Method

TOKENS = [1, 2, 4, 8, 16, 32, 64]


class Prompt(Method):
    """Virtual tokens at the input layer."""

    name = "prompt"
    source = "arXiv 2104.08691"
    size_name = "tokens"
    learning_rates = (3e-3, 1e-1)

    def sizes(self, facts: Facts) -> list[int]:
        # They take their places from the window; leave it at least half.
        positions = getattr(facts.config, "max_position_embeddings", 128)
        return [tokens for tokens in TOKENS if tokens <= positions // 2]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.PromptTuningConfig(task_type=facts.task_type, num_virtual_tokens=size)
