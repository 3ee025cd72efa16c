"""Inputs with features that depend on each other, and what a statistic sees of them."""

from __future__ import annotations

import torch


def seen(statistic, inputs):
    """A statistic of ``inputs``, [tokens, width]."""
    found = statistic(inputs.shape[1])
    found.add(inputs)
    return found


def correlated(tokens=512, width=48, seed=0):
    """Inputs with features of very different sizes that depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator) / width**0.5
    scale = torch.logspace(-1, 1, width)[torch.randperm(width, generator=generator)]
    return torch.randn(tokens, width, generator=generator) @ mix * scale


def neighbours(tokens=512, width=48, seed=0):
    """Inputs whose neighbouring features have a correlation of 0.9, all of size 1."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.arange(width)
    mix = torch.linalg.cholesky(0.9 ** (index[:, None] - index).abs())
    return torch.randn(tokens, width, generator=generator) @ mix.T
