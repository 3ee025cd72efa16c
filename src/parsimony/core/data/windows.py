"""How many texts a model's window would cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_BATCH = 256  # texts tokenized at once; bounds memory on long corpora


@dataclass(frozen=True)
class Truncation:
    """Texts longer than a window.

    Attributes:
        count: how many.
        share: of all texts, in [0, 1]; 0 for no texts.
    """

    count: int
    share: float


def truncation(texts: Sequence[str], tokenizer: Callable[..., Any], window: int) -> Truncation:
    """Count the ``texts`` that ``tokenizer`` turns into more than ``window`` tokens.

    Args:
        texts: the texts.
        tokenizer: called with a list of strings, ``add_special_tokens=True`` and
            ``truncation=False``; its result holds one list of ids per text under ``"input_ids"``.
        window: the most tokens the model reads, special tokens included.
    """
    count = 0
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])
        ids = tokenizer(batch, add_special_tokens=True, truncation=False)["input_ids"]
        count += sum(len(row) > window for row in ids)
    return Truncation(count, count / len(texts) if len(texts) else 0.0)
