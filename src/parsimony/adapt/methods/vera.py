"""VeRA: frozen shared random factors, trained scaling vectors (Kopiczko 2023, 2310.11454)."""

import peft
import torch
from torch import nn

from parsimony.adapt.method import Facts, LowRank


class Vera(LowRank):
    """W + diag(b) B diag(d) A with B and A random, frozen and shared by all layers."""

    name = "vera"
    source = "arXiv 2310.11454"
    learning_rates = (3e-3, 3e-2)  # the paper uses rates about ten times LoRA's

    def sizes(self, facts: Facts) -> list[int]:
        return [16, 32, 64, 128, 256, 512, 1024]  # of frozen factors: wider than the layer is fine

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.VeraConfig(
            task_type=facts.task_type,
            r=size,
            vera_dropout=dropout,
            # The random factors travel with the adapter: a seed does not survive every version.
            save_projection=True,
            target_modules=facts.targets(),
        )

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        torch.manual_seed(seed)
        config = self.config(facts, size, dropout)
        config.projection_prng_key = seed  # peft draws the frozen factors from this, not from torch
        return peft.get_peft_model(model, config)
