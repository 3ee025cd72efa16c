"""A UNet of three levels that runs in milliseconds, and rows to train it on."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from parsimony.compress.assembly import NoisedRows

LEVELS = ("D0", "D1", "D2")


def unet(seed: int = 0, **changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    settings = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "norm_num_groups": 4,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
    }
    return UNet2DConditionModel(**settings | changes).eval()


def inputs(batch: int = 3, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "sample": torch.randn(batch, 1, 8, 8, generator=generator),
        "timestep": torch.randint(1000, (batch,), generator=generator),
        "encoder_hidden_states": torch.randn(batch, 4, 8, generator=generator),
    }


def rows(count: int = 64, seed: int = 0, **options: Any) -> NoisedRows:
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(16, 1, 8, 8, generator=generator)
    contexts = torch.randn(16, 4, 8, generator=generator)
    return NoisedRows(latents, contexts, DDPMScheduler(**options), count, seed)


@torch.no_grad()
def said(network: UNet2DConditionModel, **given: torch.Tensor) -> torch.Tensor:
    return network(**(given or inputs())).sample
