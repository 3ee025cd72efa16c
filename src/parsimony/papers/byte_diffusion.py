"""A tiny masked-diffusion model of bytes, and its causal twin: what cards quantize and compare.

Tokens are the 128 values of ASCII, and one mask. The text is that of ``byte_models``; Sudokus are
written in its digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require

if TYPE_CHECKING:
    import torch
    from torch import nn

    from parsimony.core.training import TrainSettings

MASK = 128
SHAPE = {
    "vocab_size": 129,
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "eos_token_id": None,
    "bos_token_id": None,
}
"""357,216 parameters, of which 331,776 are in linear layers of blocks."""


def network(seed: int, **shape: Any) -> Any:
    """A ``MaskedDiffusionLM`` with random weights.

    Args:
        seed: of the weights.
        shape: fields of its config other than in ``SHAPE``.
    """
    torch = require("torch", "models")
    from parsimony.models.masked_diffusion import MaskedDiffusionConfig, MaskedDiffusionLM

    torch.manual_seed(seed)
    return MaskedDiffusionLM(MaskedDiffusionConfig(**{**SHAPE, "mask_token_id": MASK, **shape}))


def causal_twin(seed: int) -> nn.Module:
    """The same network with a causal mask, for next-token prediction; the mask token is idle."""
    torch = require("torch", "models")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, rms_norm_eps=1e-5, use_cache=False))


def settings(steps: int, seed: int = 0, **changes: Any) -> TrainSettings:
    """16 sequences per step, AdamW at 2e-3, and what ``changes`` says of ``TrainSettings``."""
    require("torch", "models")
    from parsimony.core.training import TrainSettings

    return TrainSettings(**{"learning_rate": 2e-3, "steps": steps, "seed": seed, **changes})


def train_text(
    model: Any, how: TrainSettings, at: frozenset[int] = frozenset()
) -> dict[int, float]:
    """Train on the library's source, and measure on held-out files after these steps.

    Args:
        model: of ``network`` or ``causal_twin``, trained in place.
        how: see ``settings``.
        at: steps to measure after.

    Returns:
        Nats per byte by step: the upper bound of a ``network``, the loss of its twin. They are
        not the same quantity.
    """
    from parsimony.papers.byte_models import train_bytes, windows

    return train_bytes(model, how, at=at, texts=windows("train", "ascii"), loss=validation)


def train_answers(model: Any, rows: torch.Tensor, prompt: int, how: TrainSettings) -> None:
    """Train a ``network`` to answer: the loss of supervised fine-tuning.

    Args:
        model: of ``network``, trained in place.
        rows: prompts with their answers, token ids [rows, length].
        prompt: tokens of a prompt.
        how: see ``settings``.
    """
    from parsimony.papers.byte_models import train_bytes

    train_bytes(model, how, at=frozenset(), texts=rows, prompt=prompt)


def validation(model: nn.Module, draws: int = 4) -> float:
    """Nats per byte over the held-out sequences: upper bound of a ``network``, loss of its twin.

    Args:
        model: of either kind.
        draws: masks per sequence, the same every time.
    """
    from parsimony.models.masked_diffusion import MaskedDiffusionLM, bound
    from parsimony.papers.byte_models import held_out, validation_loss

    if isinstance(model, MaskedDiffusionLM):
        return bound(model, held_out("ascii"), draws=draws).value
    return validation_loss(model, "ascii")
