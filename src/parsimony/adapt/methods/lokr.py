"""LoKr: a Kronecker product whose second factor is low-rank (Yeh et al. 2023, 2309.14859)."""

import peft

from parsimony.adapt.method import Facts, LowRank


class Lokr(LowRank):
    """W + (alpha / r) C (x) (B A) with alpha = 2 r."""

    name = "lokr"
    source = "arXiv 2309.14859"
    conv1d = False

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.LoKrConfig(
            task_type=facts.task_type,
            r=size,
            alpha=2 * size,
            # Dropping whole modules would leave some without a gradient for many steps.
            rank_dropout=dropout,
            target_modules=facts.targets(),
        )
