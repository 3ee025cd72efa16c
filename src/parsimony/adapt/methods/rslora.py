"""rsLoRA: LoRA scaled by alpha / sqrt(r) (Kalajdzievski 2023, arXiv 2312.03732)."""

import peft

from parsimony.adapt.method import Facts, LowRank


class RsLora(LowRank):
    """W + (alpha / sqrt(r)) B A with alpha = 4, which equals LoRA's scale at r = 4."""

    name = "rslora"
    source = "arXiv 2312.03732"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoraConfig(
            task_type=facts.task_type,
            r=size,
            lora_alpha=4,
            lora_dropout=dropout,
            use_rslora=True,
            target_modules=facts.targets(),
        )
