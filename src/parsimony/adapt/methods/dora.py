"""DoRA: magnitude and direction apart, LoRA on the direction (Liu et al. 2024, 2402.09353)."""

from typing import ClassVar

from parsimony.adapt.methods.lora import Lora


class Dora(Lora):
    """m (W + (alpha / r) B A) / |W + (alpha / r) B A| with alpha = 2 r."""

    name = "dora"
    source = "arXiv 2402.09353"
    flags: ClassVar[dict[str, bool]] = {"use_dora": True}
