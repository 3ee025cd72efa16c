"""DoRA: magnitude and direction apart, LoRA on the direction (Liu et al. 2024, 2402.09353)."""

import peft

from parsimony.adapt.method import Facts, LowRank


class Dora(LowRank):
    """m (W + (alpha / r) B A) / |W + (alpha / r) B A| with alpha = 2 r."""

    name = "dora"
    source = "arXiv 2402.09353"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoraConfig(
            task_type=facts.task_type,
            r=size,
            lora_alpha=2 * size,
            lora_dropout=dropout,
            use_dora=True,
            target_modules=facts.targets(),
        )
