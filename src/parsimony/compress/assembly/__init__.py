"""Assemble a lighter UNet from blocks with fewer layers, distilled alone and then together.

A-SDM's tuning part (arXiv 2406.00210): ``assemble`` cuts the light UNet out of a teacher,
``add_experts`` gives it convolutions whose kernels depend on the image, ``train_pieces`` and
``train_joint`` distil it. The result is a diffusers UNet for any pipeline.
"""

from parsimony.compress.assembly.conditional_conv import ConditionalConv2d, add_experts, load, save
from parsimony.compress.assembly.distillation import (
    Weights,
    settings,
    train_joint,
    train_pieces,
)
from parsimony.compress.assembly.light_blocks import Plan, assemble
from parsimony.compress.assembly.noising import NoisedRows

__all__ = [
    "ConditionalConv2d",
    "NoisedRows",
    "Plan",
    "Weights",
    "add_experts",
    "assemble",
    "load",
    "save",
    "settings",
    "train_joint",
    "train_pieces",
]
