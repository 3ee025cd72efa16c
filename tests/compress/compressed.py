"""Small random models and windows that the tests of this area share."""

from __future__ import annotations

import torch
import transformers

from parsimony.testing import tiny

ARCHITECTURES = tiny.ARCHITECTURES


def model(architecture: str, seed: int = 0) -> torch.nn.Module:
    """A random model in evaluation mode."""
    auto = transformers.AutoModel if architecture == "bert" else transformers.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        made = auto.from_config(tiny.config(architecture))
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return made.eval()


def windows(count: int = 10, length: int = 12, seed: int = 1) -> torch.Tensor:
    """Token ids, [count, length]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 200, (count, length), generator=generator)
