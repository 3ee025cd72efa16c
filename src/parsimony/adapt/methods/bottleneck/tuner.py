"""The peft tuner of bottleneck adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from parsimony.adapt.methods.bottleneck import blocks, placement
from parsimony.adapt.methods.bottleneck.sublayer import (
    ADAPTERHUB,
    SublayerConfig,
    SublayerLayer,
    SublayerModel,
    takes_adapterhub_names,
)
from parsimony.core.errors import InputError
from parsimony.core.peft_border import register

BLOCKS: dict[str, type[blocks.Dense | blocks.Conformer]] = {
    "dense": blocks.Dense,
    "convpass": blocks.Convpass,
    "conformer": blocks.Conformer,
}
INITS = ("zero-up", "houlsby")
NORMS = ("batch", "group")


@takes_adapterhub_names(ADAPTERHUB)
@dataclass
class BottleneckConfig(SublayerConfig):
    """Bottleneck adapters; the papers' variants are settings of it.

    Houlsby: ``placement="houlsby"``. Pfeiffer: ``placement="pfeiffer"``. Parallel (He et al.
    2022, arXiv 2110.04366): ``placement="ffn", order="parallel", scaling=4``. Adapter+ (Steitz
    and Roth 2024, arXiv 2406.06820): ``placement="block", channel_scale=True, init="houlsby"``.
    PETL-AST (Cappellazzo et al. 2024, arXiv 2312.03694): ``placement="ffn", order="parallel",
    block="conformer", reduction=96``, with the norm before the sub-layer in ``modules_to_save``.

    Attributes:
        block: ``"dense"``, ``"conformer"`` or ``"convpass"``; see ``blocks``.
        channel_scale: a trained factor per channel on the update, one at the start.
        init: of the projections, see ``blocks.start``.
        kernel: tokens that the conformer's convolution spans.
        norm: inside the conformer block, ``"batch"`` or ``"group"``.
    """

    kind: ClassVar[str] = "BOTTLENECK"

    block: str = "dense"
    channel_scale: bool = False
    init: str = "zero-up"
    kernel: int = 31
    norm: str = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, known in (("block", tuple(BLOCKS)), ("init", INITS), ("norm", NORMS)):
            if getattr(self, field) not in known:
                raise placement.unknown(field, getattr(self, field), known)
        if self.kernel < 1:
            raise InputError("kernel must be at least 1", got=self.kernel)

    def make(self, d: int, k: int) -> nn.Module:
        """A new block between hidden states of width ``d`` and a bottleneck of width ``k``."""
        activation = self.activation or BLOCKS[self.block].activation
        block: blocks.Dense | blocks.Conformer
        if self.block == "conformer":
            block = blocks.Conformer(d, k, activation, self.kernel, self.norm)
        elif self.block == "convpass":
            block = blocks.Convpass(d, k, activation)
        else:
            block = blocks.Dense(d, k, activation)
        blocks.start(block, self.init)
        return blocks.Scaled(block, d) if self.channel_scale else block


class BottleneckLayer(SublayerLayer):
    """output + s * block(h), h the output itself or, in parallel, the input."""

    adapter_layer_names = ("bottleneck_block",)
    store = nn.ModuleDict

    def create(self, adapter: str, config: Any) -> dict[str, Any]:
        return {"bottleneck_block": config.make(*self.sizes(config))}

    def branch(self, adapter: str, h: torch.Tensor) -> torch.Tensor:
        update: torch.Tensor = self.bottleneck_block[adapter](h)
        return update


@register(BottleneckConfig)
class BottleneckModel(SublayerModel):
    """Puts bottleneck adapters into a model."""

    tuner_layer_cls = BottleneckLayer
