"""Predictors of masked tokens whose answers are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

VOCABULARY, MASK = 7, 6


class Toy(nn.Module):
    """Logits by a rule; keeps the texts it was shown.

    Args:
        rule: texts [rows, length] -> logits [rows, length, VOCABULARY].
    """

    def __init__(self, rule: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.rule = rule
        self.weight = nn.Parameter(torch.zeros(()))  # tells the device
        self.config = SimpleNamespace(mask_token_id=MASK, vocab_size=VOCABULARY)
        self.shown: list[torch.Tensor] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None) -> SimpleNamespace:
        assert not self.training
        self.shown.append(input_ids.clone())
        return SimpleNamespace(logits=self.rule(input_ids))


def uniform(texts: torch.Tensor) -> torch.Tensor:
    """Knows nothing."""
    return torch.zeros(*texts.shape, VOCABULARY)


def favours(token: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Logits of 0 but for ``token``, whose are ``by``; both [rows, length] or broadcast to it."""
    return nn.functional.one_hot(token, VOCABULARY) * by[..., None]
