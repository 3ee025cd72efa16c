"""Write text with a masked-diffusion model: block by block, the most confident tokens first.

An answer starts as masks alone and is cut into blocks; each block gets an equal share of the steps.
In a step the whole text goes through the model, every masked position of the block gets a
candidate, and the planned number of those with the highest confidence is kept for good (LLaDA,
arXiv 2502.09992, section 2.4).

With temperature T a candidate is the argmax of logits - T log(-log u), u ~ U(0, 1), which draws
from softmax(logits / T). It is taken in float64: in less, the draws of u near 1 repeat, and with
them the tokens that win. The mask token is never a candidate, so a step keeps what was planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from parsimony.core.errors import InputError, nearest
from parsimony.core.evaluating import evaluating

REMASKING = ("low_confidence", "random")


@dataclass(frozen=True)
class Sampling:
    """How to write.

    Attributes:
        length: tokens to write.
        block: tokens of a block; divides ``length``.
        steps: passes of the whole answer, a multiple of its blocks, at most ``length``.
        temperature: 0 for the likeliest token.
        remasking: what stays masked: the candidates of the lowest probability
            (``"low_confidence"``) or any (``"random"``).
        guidance: w of classifier-free guidance, u + (w + 1) (c - u), with u the logits where the
            prompt is masked; 0 is without, and takes half the passes.
        never: ids that are never written, such as the end of text ("logits_eos_inf" in LLaDA).
        last: ids that are written only where nothing else is left in the block
            ("confidence_eos_eot_inf").

    Raises:
        InputError: values that do not divide, the nearest that do named; others out of range.
    """

    length: int = 128
    block: int = 32
    steps: int = 128
    temperature: float = 0.0
    remasking: str = "low_confidence"
    guidance: float = 0.0
    never: tuple[int, ...] = ()
    last: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InputError("length must be at least 1", got=self.length)
        _divides(f"block must divide the length of {self.length}", self.block,
                 [n for n in range(1, self.length + 1) if self.length % n == 0])  # fmt: skip
        _divides(
            f"steps must be a multiple of the {self.blocks} blocks and at most {self.length}",
            self.steps, range(self.blocks, self.length + 1, self.blocks),
        )  # fmt: skip
        if self.remasking not in REMASKING:
            raise InputError("unknown remasking", got=self.remasking,
                             hint=nearest(self.remasking, REMASKING))  # fmt: skip
        if self.temperature < 0 or self.guidance < 0:
            raise InputError("temperature and guidance must not be negative", got=self)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.length // self.block


def _divides(rule: str, value: int, valid: Sequence[int]) -> None:
    if value not in valid:
        below = [str(n) for n in valid if n < value][-1:]
        above = [str(n) for n in valid if n > value][:1]
        raise InputError(rule, got=value, hint=f"Nearest: {' and '.join(below + above)}")


def transfer_schedule(masked: int, steps: int) -> list[int]:
    """Tokens to keep in each step: equally many, the first steps one more where need be."""
    least, more = divmod(masked, steps)
    return [least + (step < more) for step in range(steps)]


def sample(
    model: nn.Module,
    prompts: torch.Tensor,
    settings: Sampling,
    *,
    attention_mask: torch.Tensor | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """Write an answer to each prompt.

    Args:
        model: a ``MaskedDiffusionLM``, not changed.
        prompts: token ids, [texts, length]; padded on the left where lengths differ.
        settings: see ``Sampling``.
        attention_mask: 1 for tokens, 0 for padding; [texts, length].
        seed: of temperature and random remasking; on another device the draws are others.

    Returns:
        Token ids of the answers, [texts, ``settings.length``].
    """
    device = next(model.parameters()).device
    config: Any = model.config
    mask_id, vocabulary = config.mask_token_id, config.vocab_size
    for token in (*settings.never, *settings.last):
        if token not in range(vocabulary):
            raise InputError(
                f"never and last must name tokens of the vocabulary, 0 to {vocabulary - 1}",
                got=token,
            )
    generator = torch.Generator(device).manual_seed(seed)
    start = prompts.shape[1]
    blank = torch.full((len(prompts), settings.length), mask_id, device=device)
    text = torch.cat([prompts.to(device), blank], dim=1)
    if attention_mask is not None:
        attention_mask = torch.cat([attention_mask.to(device), torch.ones_like(blank)], dim=1)
    with evaluating(model), torch.no_grad():
        for first in range(start, text.shape[1], settings.block):
            place = slice(first, first + settings.block)
            for count in transfer_schedule(settings.block, settings.steps // settings.blocks):
                logits = _logits(model, text, start, settings.guidance, attention_mask)
                _commit(text[:, place], logits[:, place].double(), count, mask_id, settings,
                        generator)  # fmt: skip
    return text[:, start:]


def _logits(
    model: Any, text: torch.Tensor, prompt: int, guidance: float, attention_mask: Any
) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=text, attention_mask=attention_mask).logits
    if guidance:
        hidden = text.clone()
        hidden[:, :prompt] = model.config.mask_token_id
        without = model(input_ids=hidden, attention_mask=attention_mask).logits
        found = without + (guidance + 1) * (found - without)
    return found


def _commit(
    block: torch.Tensor,
    logits: torch.Tensor,
    count: int,
    mask_id: int,
    settings: Sampling,
    generator: torch.Generator,
) -> None:
    """Write ``count`` candidates per text into ``block``, [texts, tokens]."""
    never = torch.tensor([mask_id, *settings.never], device=block.device)
    logits = logits.index_fill(-1, never, -torch.inf)
    scores = logits
    if settings.temperature:
        noise = torch.rand(logits.shape, dtype=torch.float64, device=logits.device,
                           generator=generator)  # fmt: skip
        scores = logits - settings.temperature * (-noise.log()).log()
    candidates = scores.argmax(-1)
    if settings.remasking == "low_confidence":
        confidence = logits.softmax(-1).gather(-1, candidates[..., None])[..., 0]
    else:
        confidence = torch.rand(block.shape, dtype=torch.float64, device=logits.device,
                                generator=generator)  # fmt: skip
    last = torch.isin(
        candidates, torch.tensor(settings.last, dtype=torch.long, device=block.device)
    )
    confidence[last] -= 1  # below all others; among them the order stays
    confidence[block != mask_id] = -torch.inf
    kept = confidence.topk(count).indices
    block.scatter_(1, kept, candidates.gather(1, kept))
