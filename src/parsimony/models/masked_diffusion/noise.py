"""The noise of a masked-diffusion model, and the loss under it.

Per text, t ~ U(0, 1) and p = (1 - eps) t + eps; each token that has a label is masked with
probability p. The loss is

    mean over texts of  1/L  sum over masked tokens of  CE(logits, token) / p

with L the text's labelled tokens. Where all tokens have labels and all texts are equally long this
is the pre-training loss, 1/(B S) of the sum over the batch; where prompts have none it is the loss
of supervised fine-tuning (LLaDA, arXiv 2502.09992, sections 2.2 and 2.3).
"""

from __future__ import annotations

import torch
from torch import nn

UNLABELLED = -100


def draw_masks(
    labels: torch.Tensor, floor: float, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw which tokens are masked.

    Drawn on the CPU, so that a seed gives the same masks on every device.

    Args:
        labels: token ids, [texts, length]; -100 where nothing is learned.
        floor: eps, the least rate, in (0, 1].
        generator: on the CPU; ``None`` for torch's own, which trainings seed, save and restore.

    Returns:
        (masked, bool [texts, length]; rates p, float32 [texts, 1])
    """
    rates = (1 - floor) * torch.rand(len(labels), 1, generator=generator) + floor
    masked = torch.rand(labels.shape, generator=generator) < rates
    return masked.to(labels.device) & (labels != UNLABELLED), rates.to(labels.device)


def diffusion_loss(
    logits: torch.Tensor, labels: torch.Tensor, masked: torch.Tensor, rates: torch.Tensor
) -> torch.Tensor:
    """The loss of given masks, a scalar in nats per token.

    Args:
        logits: of the masked texts, [texts, length, vocabulary].
        labels: token ids, [texts, length]; -100 where nothing is learned.
        masked: what was masked, bool [texts, length].
        rates: the probability of it, [texts, 1].
    """
    wanted = labels.masked_fill(~masked, UNLABELLED)
    losses = nn.functional.cross_entropy(
        logits.float().transpose(1, 2), wanted, ignore_index=UNLABELLED, reduction="none"
    )
    lengths = (labels != UNLABELLED).sum(1).clamp(min=1)
    return ((losses / rates).sum(1) / lengths).mean()
