"""LoHa: the Hadamard product of two low-rank updates (Hyeon-Woo et al. 2022, 2108.06098)."""

import peft

from parsimony.adapt.method import Facts, LowRank


class Loha(LowRank):
    """W + (alpha / r) (B1 A1) * (B2 A2) with alpha = 2 r."""

    name = "loha"
    source = "arXiv 2108.06098"
    conv1d = False

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoHaConfig(
            task_type=facts.task_type,
            r=size,
            alpha=2 * size,
            # Dropping whole modules would leave some without a gradient for many steps.
            rank_dropout=dropout,
            target_modules=facts.targets(),
        )
