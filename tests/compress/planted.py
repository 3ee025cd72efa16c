"""Outlier channels planted in a model that computes the same as before."""

from __future__ import annotations

import torch

FACTOR = 30.0


@torch.no_grad()
def plant(model, channels=(3, 11, 20)):
    """Make a Llama's norm gains 30 times larger in some channels, the columns after smaller."""
    for block in model.model.layers:
        for norm, readers in (
            (block.input_layernorm, ("q_proj", "k_proj", "v_proj")),
            (block.post_attention_layernorm, ("gate_proj", "up_proj")),
        ):
            norm.weight[list(channels)] *= FACTOR
            for name, module in block.named_modules():
                if name.rpartition(".")[2] in readers:
                    module.weight[:, list(channels)] /= FACTOR
    return model
