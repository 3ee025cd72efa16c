"""Whole texts in a row, cut into windows of token ids without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parsimony.core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEXTS = 1000  # tokenized at a time


def windows(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    count: int | None = None,
    *,
    seed: int = 0,
) -> Tensor:
    """Cut the joined texts into windows that do not overlap, and draw some of them.

    No special tokens are added between texts but the end-of-text token, where there is one.

    Args:
        texts: in the order in which they are joined.
        tokenizer: of the model.
        length: tokens of a window.
        count: how many are drawn without replacement; all, in order, by default.
        seed: of the draw.

    Returns:
        Token ids, [windows, length].

    Raises:
        InputError: the texts do not fill one window, or not ``count``.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids: list[int] = []
    for start in range(0, len(texts), _TEXTS):
        chunk = list(texts[start : start + _TEXTS])
        for row in tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]:
            ids += [*row, *end]
    found = len(ids) // length
    if found < (count or 1):
        raise InputError(
            f"the texts must fill {count or 1} windows of {length} tokens, and fill {found}",
            got=f"{len(ids)} tokens",
            hint=f"Give more text, fewer --samples (at most {found}) or a shorter --window"
            if found
            else f"Give more text, or a --window of at most {len(ids)}",
        )
    cut = torch.tensor(ids[: found * length]).view(found, length)
    if count is None:
        return cut
    drawn = torch.randperm(found, generator=torch.Generator().manual_seed(seed))[:count]
    return cut[drawn]


@dataclass(frozen=True)
class WindowRows:
    """Windows as rows of a training.

    Attributes:
        windows: token ids, [rows, window].
    """

    windows: Tensor

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.windows[index]}


def collate_windows(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch whose labels are the ids themselves."""
    ids = torch.stack([row["input_ids"] for row in rows])
    return {"input_ids": ids, "labels": ids}
