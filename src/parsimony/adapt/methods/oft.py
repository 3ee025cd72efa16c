"""OFT: rotate each target's input by a block-diagonal matrix (Qiu et al. 2023, 2306.07280)."""

import math

import peft

from parsimony.adapt.method import Facts, LowRank


class Oft(LowRank):
    """W R with R orthogonal in blocks; the block size is the knob."""

    name = "oft"
    source = "arXiv 2306.07280"
    size_name = "block"
    learning_rates = (1e-3, 1e-2)
    conv1d = False
    has_dropout = False  # peft 0.21 builds the layer for it and never calls it

    def sizes(self, facts: Facts) -> list[int]:
        inputs = [shape[0] for shape in facts.targeted(facts.targets()).values()]
        common = math.gcd(*inputs)
        return [block for block in (2, 4, 8, 16, 32, 64, 128) if inputs and common % block == 0]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.OFTConfig(
            task_type=facts.task_type,
            r=0,
            oft_block_size=size,
            target_modules=facts.targets(),
        )
