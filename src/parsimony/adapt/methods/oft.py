"""OFT: rotate each target's input by a block-diagonal matrix (Qiu et al. 2023, 2306.07280)."""

import math

import peft

from parsimony.adapt.method import Facts, LowRank


class Oft(LowRank):
    """W R with R orthogonal in blocks; the block size is the knob."""

    name = "oft"
    source = "arXiv 2306.07280"
    size_name = "block"

    def sizes(self, facts: Facts) -> list[int]:
        inputs = [shape[0] for shape in facts.targeted(self.targets(facts)).values()]
        common = math.gcd(*inputs)
        return [block for block in (2, 4, 8, 16, 32, 64, 128) if inputs and common % block == 0]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.OFTConfig(
            task_type=facts.task_type,
            r=0,
            oft_block_size=size,
            module_dropout=dropout,
            target_modules=self.targets(facts),
        )
