"""Small random models and windows that the tests of this area share."""

from __future__ import annotations

import torch

from parsimony.testing import tiny

ARCHITECTURES = tiny.ARCHITECTURES
model = tiny.model


def windows(count: int = 10, length: int = 12, seed: int = 1) -> torch.Tensor:
    """Token ids, [count, length]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 200, (count, length), generator=generator)
