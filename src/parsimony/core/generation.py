"""What a model writes when it is asked: in batches, the same on every run."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from parsimony.core.errors import InputError
from parsimony.core.evaluating import evaluating


@dataclass(frozen=True)
class Question:
    """One row that is asked.

    Attributes:
        prompt: token ids before the answer, as training reads them.
        answer: the text asked for, whole.
    """

    prompt: list[int]
    answer: str


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: drawn from softmax(logits / T) over the ``top_k`` largest.

    Attributes:
        temperature: T; 0 takes the likeliest token.
        top_k: how many tokens may be drawn; ``None`` for all, 1 for the likeliest.
        seed: of the draws.

    Raises:
        InputError: a negative or infinite temperature; fewer than one token.
    """

    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(
                "a temperature must be finite and not negative",
                got=self.temperature,
                hint="0 takes the likeliest token",
            )
        if self.top_k is not None and self.top_k < 1:
            raise InputError("top-k must leave at least one token", got=self.top_k)

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn: the likeliest token, whatever the seed."""
        return self.temperature == 0 or self.top_k == 1

    def settings(self) -> dict[str, Any]:
        """What transformers' ``GenerationConfig`` takes; nothing is left to a model's own."""
        if self.greedy:
            return {"do_sample": False}
        return {
            "do_sample": True,
            "temperature": self.temperature,
            "top_k": self.top_k or 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "typical_p": 1.0,
        }


GREEDY = Sampling()
_NEVER = [2**31 - 1]  # no token's id; without any, transformers would take the model's own


def answers(
    model: nn.Module,
    prompts: Sequence[list[int]],
    *,
    tokens: int,
    stops: Sequence[int],
    batch: int = 32,
    sampling: Sampling = GREEDY,
) -> list[list[int]]:
    """The next token, again and again, up to a stop or ``tokens`` of them.

    Args:
        model: a causal language model of transformers, adapted by peft or not.
        prompts: token ids, each at least one.
        tokens: most to write.
        stops: ids that end an answer; they are not part of it. Without any, nothing ends one.
        batch: prompts at a time, padded on the left; what is drawn depends on it.
        sampling: how a token is chosen; the likeliest by default.

    Returns:
        The ids of each answer, in the order of the prompts.
    """
    from transformers import GenerationConfig

    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=tokens,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=list(stops) or _NEVER,
        pad_token_id=0,  # hidden by the mask, and behind a stop
        use_cache=True,
        **sampling.settings(),
    )
    device = next(model.parameters()).device
    found: list[list[int]] = [[] for _ in prompts]
    with evaluating(model), _drawing(sampling, device):
        for group in _groups(model, prompts, batch):
            width = max(len(prompts[n]) for n in group)
            ids = torch.zeros(len(group), width, dtype=torch.long, device=device)
            mask = torch.zeros_like(ids)
            for place, number in enumerate(group):
                ids[place, width - len(prompts[number]) :] = torch.tensor(prompts[number])
                mask[place, width - len(prompts[number]) :] = 1
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # peft tells which arguments it does without
                written: Any = model.generate(  # type: ignore[operator]
                    input_ids=ids, attention_mask=mask, generation_config=settings
                )
            for number, row in zip(group, written[:, width:].tolist(), strict=True):
                end = next((n for n, token in enumerate(row) if token in stops), len(row))
                found[number] = row[:end]
    return found


@contextlib.contextmanager
def _drawing(sampling: Sampling, device: torch.device) -> Iterator[None]:
    """Draws that follow from the seed, and leave the process's own as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(sampling.seed)
        yield


def _groups(model: nn.Module, prompts: Sequence[list[int]], batch: int) -> Iterator[list[int]]:
    """Numbers of the prompts that go together, those of like length beside each other."""
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
    equal = _pads_within(model)
    start = 0
    for end in range(1, len(order) + 1):
        if (
            end == len(order)
            or end - start == batch
            or (equal and len(prompts[order[end]]) != len(prompts[order[start]]))
        ):
            yield order[start:end]
            start = end


def _pads_within(model: nn.Module) -> bool:
    """Whether peft puts virtual tokens in front of the padding: it would part them from the text.

    A prefix does not mind: its keys and values have no place in the text.
    """
    config: Any = getattr(model, "active_peft_config", None)
    return config is not None and config.is_prompt_learning and config.peft_type != "PREFIX_TUNING"
