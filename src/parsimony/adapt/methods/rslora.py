"""rsLoRA: LoRA scaled by alpha / sqrt(r) (Kalajdzievski 2023, arXiv 2312.03732)."""

from typing import ClassVar

from parsimony.adapt.methods.lora import Lora


class RsLora(Lora):
    """W + (alpha / sqrt(r)) B A with alpha = 4, which equals LoRA's scale at r = 4."""

    name = "rslora"
    source = "arXiv 2312.03732"
    flags: ClassVar[dict[str, bool]] = {"use_rslora": True}

    def alpha(self, size: int) -> int:
        return 4
