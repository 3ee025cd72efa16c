"""Linear probe: train the task head on frozen features; the baseline every adapter must beat."""

import peft

from parsimony.adapt.method import HEAD_RATE, Facts, Method
from parsimony.core import peft_border


class LinearProbe(Method):
    """The head alone, saved as a peft adapter that adapts no other module."""

    name = "linear-probe"
    source = "Alain and Bengio 2016, arXiv 1610.01644"
    learning_rates = (HEAD_RATE / 768 / 2, HEAD_RATE / 768 * 2)
    baseline = True

    def rates(self, facts: Facts) -> tuple[float, float]:
        return HEAD_RATE / facts.width / 2, HEAD_RATE / facts.width * 2

    def head_rate(self, facts: Facts, rate: float) -> float:
        return rate

    def refusal(self, facts: Facts) -> str | None:
        return None if facts.head else "the task has no head of its own to train"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoraConfig(task_type=facts.task_type, target_modules=peft_border.NO_TARGET, r=1)
