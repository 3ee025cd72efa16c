"""KronA: add to each weight the Kronecker product of two small trained matrices.

Marjit et al. 2024, DiffuseKronA (arXiv 2402.17412, section 3): W + scale A (x) B with A (a1, a2),
B (b1, b2), a1 b1 = outputs, a2 b2 = inputs, A ~ N(0, 1/a1^2) and B = 0 at the start. The paper
adapts the attention maps of a diffusion UNet (``ATTENTION``); before it, Edalati et al. 2022
(2212.10650) adapted language models. The forward never forms the product.

What is ours: factors are chosen by rule where none are given; the released layer of the paper
orders the outputs otherwise than a Kronecker product does, which its checkpoints need and
``shuffled`` keeps; export to LoKr, which other software reads.

It adapts dense layers only. diffusers' ``load_lora_weights`` cannot read a KronA adapter: load it
with ``peft.PeftModel.from_pretrained(pipeline.unet, folder)``.
"""

import re

import peft

from parsimony.adapt.method import Facts, LowRank
from parsimony.adapt.methods.krona.exchange import export_lokr, export_lycoris, load_official
from parsimony.adapt.methods.krona.tuner import (
    ATTENTION,
    KronaConfig,
    KronaLayer,
    KronaModel,
    factors,
    summary,
    values,
)

__all__ = [
    "ATTENTION",
    "Krona",
    "KronaConfig",
    "KronaLayer",
    "KronaModel",
    "export_lokr",
    "export_lycoris",
    "factors",
    "load_official",
    "summary",
    "values",
]


class Krona(LowRank):
    """Size r: in every layer at most the parameters that LoRA of rank r has."""

    name = "krona"
    source = "arXiv 2402.17412"
    # The paper recommends 5e-4 for its largest model, its released scripts take 1e-3, and both are
    # for a1 = 4; A is drawn smaller where a1 is larger, and wants more.
    learning_rates = (5e-4, 1e-2)

    def sizes(self, facts: Facts) -> list[int]:
        shapes = facts.targeted(facts.targets()).values()
        found: dict[int, int] = {}  # ranks between two divisors give the same adapter
        for rank in super().sizes(facts):
            count = sum(values(o, i, factors(o, i, rank * (o + i))) for i, o in shapes)
            if count > max(found, default=0):
                found[count] = rank
        return list(found.values())

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        targets = facts.targets()
        chosen = {
            re.escape(name): factors(outputs, inputs, size * (outputs + inputs))
            for name, (inputs, outputs) in facts.targeted(targets).items()
        }
        return KronaConfig(
            task_type=facts.task_type,
            factor_pattern=chosen,
            dropout=dropout,
            target_modules=targets,
        )
