"""What is counted in a text that a model wrote."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from parsimony.compress.quantizing import form_of
from parsimony.core.errors import InputError
from parsimony.core.evaluating import evaluating


def distinct(tokens: Sequence[int], n: int) -> float:
    """Share of the runs of ``n`` tokens that are different ones (Li et al. 2016, arXiv 1510.03055,
    who count over all texts; here in each). 1 for a text too short to have any.
    """
    runs = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 1.0


def repetition(tokens: Sequence[int], n: int = 4) -> float:
    """Share of the runs of ``n`` tokens that the same text has had before; 0 if too short."""
    return 1 - distinct(tokens, n)


def nats_per_token(
    judge: nn.Module,
    prompts: Sequence[list[int]],
    texts: Sequence[list[int]],
    batch: int = 8,
) -> list[float]:
    """Mean of -log p of each text's tokens after its prompt, at temperature 1.

    Args:
        judge: a causal language model that is not quantized: a quantized one likes its own errors.
        prompts: token ids, each at least one.
        texts: what follows each, at least one token.
        batch: texts at a time.

    Raises:
        InputError: a quantized judge.
    """
    if (form := form_of(judge)) is not None:
        raise InputError(
            "text must be judged by a model that is not quantized, for one that is finds its own "
            "errors likely",
            got=form,
            hint="Give the original",
        )
    device = next(judge.parameters()).device
    found: list[float] = []
    with evaluating(judge), torch.inference_mode():
        for start in range(0, len(prompts), batch):
            rows = [*zip(prompts, texts, strict=True)][start : start + batch]
            width = max(len(prompt) + len(text) for prompt, text in rows)
            ids = torch.zeros(len(rows), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for place, (prompt, text) in enumerate(rows):
                ids[place, : len(prompt) + len(text)] = torch.tensor([*prompt, *text])
                mask[place, : len(prompt) + len(text)] = 1
            ids = ids.to(device)
            logits = judge(input_ids=ids, attention_mask=mask.to(device)).logits[:, :-1].float()
            lost = nn.functional.cross_entropy(
                logits.transpose(1, 2), ids[:, 1:], reduction="none"
            ).double()
            for place, (prompt, text) in enumerate(rows):
                begin = len(prompt) - 1
                found.append(float(lost[place, begin : begin + len(text)].mean()))
    return found
