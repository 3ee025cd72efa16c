"""(IA)3: rescale keys, values and feed-forward activations (Liu et al. 2022, 2205.05638)."""

import peft

from parsimony.adapt.method import Facts, Method
from parsimony.core import peft_border


class Ia3(Method):
    """One trained factor per channel of each target; no size knob."""

    name = "ia3"
    source = "arXiv 2205.05638"
    learning_rates = (3e-3, 3e-2)  # the paper trains at 3e-3

    def refusal(self, facts: Facts) -> str | None:
        if facts.targeted(facts.targets("IA3")):
            return None
        return "the model has no linear layer outside its head"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        feedforward = peft_border.feedforward_targets(facts.config)
        return peft.IA3Config(
            task_type=facts.task_type,
            target_modules=facts.targets("IA3"),
            # An unknown architecture gets every linear layer scaled on its output.
            feedforward_modules=[] if feedforward is None else feedforward,
        )
