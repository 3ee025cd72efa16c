"""LayerNorm tuning: train the normalisation layers alone (Zhao et al. 2023, 2312.11420).

Carried by a LoRA adapter without targets that saves the norms whole: peft's own LN tuning leaves
the trained task head wrapped when it is merged.
"""

import peft

from parsimony.adapt.method import Facts, Method
from parsimony.core import peft_border


class LnTuning(Method):
    """Scale and shift of every normalisation layer; no size knob."""

    name = "ln-tuning"
    source = "arXiv 2312.11420"
    learning_rates = (1e-3, 1e-2)

    def refusal(self, facts: Facts) -> str | None:
        return None if facts.norms else "the model has no trainable normalisation layer"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoraConfig(
            task_type=facts.task_type,
            target_modules=peft_border.NO_TARGET,
            r=1,
            modules_to_save=list(facts.norms),
        )
