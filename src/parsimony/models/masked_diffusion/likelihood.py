"""What a masked-diffusion model says of a text: an upper bound of its negative log-likelihood.

    -log p(x) <= E over k of  L/k  E over masks of k tokens of  sum over them of CE(logits, token)

with k uniform on 1..L, L the tokens asked for. It is the training loss with its rate integrated out
and eps = 0, so a predictor that knows nothing has exactly log(vocabulary) per token.

The draws share one u ~ U(0, 1): t_j = (u + j/J) mod 1 and k_j = 1 + floor(t_j L), so that J draws
are spread evenly over the counts while each alone is uniform. LLaDA (arXiv 2502.09992, section 2.4)
spreads them inside a batch; here it is over all draws of all texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from parsimony.core.errors import InputError
from parsimony.core.evaluating import evaluating
from parsimony.models.masked_diffusion.noise import UNLABELLED


@dataclass(frozen=True)
class Bound:
    """An upper bound of the loss; not to be set beside an autoregressive model's loss.

    Attributes:
        rows: of every text, nats per token; shape (texts,), float64. Equal draws of two models
            make their differences pairs.
        draws: masks per text.
    """

    rows: np.ndarray
    draws: int

    @property
    def value(self) -> float:
        """Mean over texts, nats per token."""
        return float(self.rows.mean())

    def __str__(self) -> str:
        return f"at most {self.value:.4f} nats/token (upper bound, {self.draws} draws per text)"


def bound(
    model: nn.Module,
    labels: torch.Tensor,
    *,
    input_ids: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    draws: int = 8,
    batch: int = 64,
    seed: int = 0,
) -> Bound:
    """Bound the loss per token of texts, or of the answers in them.

    Args:
        model: a ``MaskedDiffusionLM``.
        labels: token ids, [texts, length]; -100 at what is given, such as prompts and padding.
        input_ids: all token ids; ``labels`` by default.
        attention_mask: 1 for tokens, 0 for padding; [texts, length].
        draws: masks per text, at least 1. A multiple of the tokens asked for gives each count
            equally often.
        batch: texts that go through the model together.
        seed: of counts and masks; the same on every device.

    Raises:
        InputError: a text that asks for no token, or holds the mask token; no draws.
    """
    sums = _sums(
        model, labels if input_ids is None else input_ids, labels, attention_mask, draws, batch,
        torch.Generator().manual_seed(seed),
    )  # fmt: skip
    return Bound((sums / (labels != UNLABELLED).sum(1).cpu()).numpy(), draws)


def log_likelihood(
    model: nn.Module,
    prompt: Sequence[int],
    answer: Sequence[int],
    *,
    draws: int = 128,
    batch: int = 64,
    seed: int = 0,
) -> float:
    """Lower bound of log p(answer | prompt) in nats: what multiple choice compares.

    Args:
        model: a ``MaskedDiffusionLM``.
        prompt: token ids before the answer; may be empty.
        answer: token ids, at least one. One token takes one draw, and the bound is then equal.
        draws: masks of the answer, at least 1.
        batch: of them that go through the model together.
        seed: of counts and masks.

    Raises:
        InputError: as ``bound``.
    """
    ids = torch.tensor([[*prompt, *answer]])
    labels = ids.clone()
    labels[:, : len(prompt)] = UNLABELLED
    draws = 1 if len(answer) == 1 else draws
    generator = torch.Generator().manual_seed(seed)
    return -float(_sums(model, ids, labels, None, draws, batch, generator))


def _sums(
    model: Any,
    ids: torch.Tensor,
    labels: torch.Tensor,
    attention_mask: torch.Tensor | None,
    draws: int,
    batch: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Bound of every text's negative log-likelihood, in nats; float64 [texts], on the CPU."""
    device, mask_id = next(model.parameters()).device, model.config.mask_token_id
    ids, labels = ids.cpu(), labels.cpu()
    wanted = labels != UNLABELLED
    if draws < 1:
        raise InputError("draws must be at least 1", got=draws)
    if not bool(wanted.any(1).all()):
        raise InputError(
            "every text must ask for a token", got=int(wanted.any(1).int().argmin()),
            hint="This row has labels of -100 alone: leave it out",
        )  # fmt: skip
    if bool((ids == mask_id).any()):
        raise InputError("texts must not hold the mask token: they are masked here", got=mask_id)
    masked = _masks(wanted, draws, generator)
    texts = torch.arange(len(ids)).repeat(draws)
    sums = torch.zeros(len(ids), dtype=torch.float64)
    with evaluating(model), torch.no_grad():
        for rows, hidden in zip(texts.split(batch), masked.split(batch), strict=True):
            shown = ids[rows].masked_fill(hidden, mask_id).to(device)
            seen = None if attention_mask is None else attention_mask.cpu()[rows].to(device)
            logits = model(input_ids=shown, attention_mask=seen).logits[hidden.to(device)]
            losses = torch.zeros(hidden.shape, dtype=torch.float64)
            losses[hidden] = nn.functional.cross_entropy(
                logits.float(), labels[rows][hidden].to(device), reduction="none"
            ).double().cpu()  # fmt: skip
            weights = wanted[rows].sum(1).double() / hidden.sum(1) / draws
            sums.index_add_(0, rows, losses.sum(1) * weights)
    return sums


def _masks(wanted: torch.Tensor, draws: int, generator: torch.Generator) -> torch.Tensor:
    """What to mask of the tokens asked for; bool [draws times texts, length], texts innermost."""
    total = draws * len(wanted)
    start = torch.rand((), dtype=torch.float64, generator=generator)
    levels = (start + torch.arange(total, dtype=torch.float64) / total) % 1
    wanted = wanted.repeat(draws, 1)
    counts = 1 + (levels * wanted.sum(1)).long()
    order = torch.rand(wanted.shape, generator=generator).masked_fill(~wanted, math.inf)
    return order.argsort(1).argsort(1) < counts[:, None]
