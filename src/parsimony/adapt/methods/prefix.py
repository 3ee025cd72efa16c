"""Prefix tuning: trained keys and values in every layer (Li and Liang 2021, 2101.00190)."""

import peft

from parsimony.adapt.method import Facts
from parsimony.adapt.methods.prompt import Prompt


class Prefix(Prompt):
    """Virtual tokens seen by the attention of every layer."""

    name = "prefix"
    source = "arXiv 2101.00190"
    learning_rates = (3e-3, 3e-2)

    def refusal(self, facts: Facts) -> str | None:
        if facts.config.is_encoder_decoder:
            return "peft has no prefixes for encoder-decoder models"
        return None if facts.cached else "the model takes no keys and values of earlier positions"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.PrefixTuningConfig(task_type=facts.task_type, num_virtual_tokens=size)
