"""LoRA: a low-rank update beside each target matrix (Hu et al. 2021, arXiv 2106.09685)."""

from typing import ClassVar

import peft

from parsimony.adapt.method import Facts, LowRank


class Lora(LowRank):
    """W + (alpha / r) B A with alpha = 2 r."""

    name = "lora"
    source = "arXiv 2106.09685"
    flags: ClassVar[dict[str, bool]] = {}  # what a variant switches on in peft.LoraConfig

    def alpha(self, size: int) -> int:
        """The scale's numerator."""
        return 2 * size

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoraConfig(
            task_type=facts.task_type,
            r=size,
            lora_alpha=self.alpha(size),
            lora_dropout=dropout,
            target_modules=facts.targets(),
            **self.flags,
        )
