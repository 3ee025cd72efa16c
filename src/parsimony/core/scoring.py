"""Turn rows into batches, and a model into one score per held-out row.

Every metric is the mean of per-row scores, so that intervals can resample rows:
accuracy (0 or 1 per row), mean squared error, and loss per token in nats (of all tokens of a text,
or of those of completions alone). What a model writes is scored in ``core.code_scores``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from parsimony.core.evaluating import evaluating
from parsimony.core.pretrained import ANSWERS, NEXT_TOKEN

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Metric:
    """What a score means.

    Attributes:
        name: for people.
        unit: ``"share"`` (printed as percent), ``"squared units"`` or ``"nats"``.
        higher_is_better: direction.
    """

    name: str
    unit: str
    higher_is_better: bool

    @property
    def sign(self) -> float:
        """+1 or -1: ``sign * score`` is better when higher."""
        return 1.0 if self.higher_is_better else -1.0


METRICS = {
    "text-classification": Metric("accuracy", "share", True),
    "text-pair-classification": Metric("accuracy", "share", True),
    "regression": Metric("mean squared error", "squared units", False),
    "causal-lm": Metric("loss per token", "nats", False),
    "instruction": Metric("loss per completion token", "nats", False),
    "code": Metric("edit similarity", "share", True),
    "audio-classification": Metric("accuracy", "share", True),
}

# What is shown beside the metric of a task. Exact match cannot rank small models: it is nearly
# always 0 for all of them. CodeBLEU has no scale of its own: it mixes four matches.
BESIDE = {"code": (Metric("exact match", "share", True), Metric("CodeBLEU", "share", True))}


def searched(task: str) -> Metric:
    """The metric by which a search ranks: the task's own, or the loss where that takes writing."""
    return METRICS["instruction" if task == "code" else task]


class Rows(Protocol):
    """Encoded rows of a split, by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...


Collate = Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]
"""Makes a batch of rows."""


class EncodedRows(Dataset[dict[str, Any]]):
    """Rows of a split as token ids, cut at ``window`` tokens; ``labels`` where they have one.

    Args:
        rows: columns ``text``, optionally ``text_pair`` and ``label`` (see ``core.data``).
        tokenizer: of the model.
        window: longest input in tokens, special tokens included.
    """

    def __init__(self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, window: int) -> None:
        texts = rows["text"].tolist()
        pairs = rows["text_pair"].tolist() if "text_pair" in rows else None
        encoded = tokenizer(texts, pairs, truncation=True, max_length=window)
        self._encoded = {key: encoded[key] for key in encoded if key in tokenizer.model_input_names}
        self._labels = rows["label"].tolist() if "label" in rows else None
        self._count = len(texts)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = {key: values[index] for key, values in self._encoded.items()}
        if self._labels is not None:
            row["labels"] = self._labels[index]
        return row


class Collator:
    """Pad a list of rows to the longest of them; for causal LM the ids are the labels.

    Instructions bring a label per token, -100 where none is learned.

    Args:
        tokenizer: gives the padding rules.
        task: see ``core.data.Task``.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: str) -> None:
        self._tokenizer = tokenizer
        self._task = task

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        plain = [{k: v for k, v in row.items() if k != "labels"} for row in rows]
        # On the right, whatever the tokenizer says: positions are counted from the left.
        padded = self._tokenizer.pad(plain, padding_side="right", return_tensors="pt")
        batch: dict[str, torch.Tensor] = dict(padded)
        if self._task == "causal-lm":
            batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        elif self._task in ANSWERS:
            batch["labels"] = torch.full_like(batch["input_ids"], -100)
            for number, row in enumerate(rows):
                batch["labels"][number, : len(row["labels"])] = torch.tensor(row["labels"])
        elif "labels" in rows[0]:
            kind = torch.float32 if self._task == "regression" else torch.long
            batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=kind)
        return batch


def outputs(
    model: nn.Module, rows: Rows, collate: Collate, batch: int
) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """(logits, batch) over ``rows`` in order, in evaluation mode, leaving the RNG untouched."""
    device = next(model.parameters()).device
    with evaluating(model):
        for start in range(0, len(rows), batch):
            chunk = [rows[i] for i in range(start, min(start + batch, len(rows)))]
            inputs = {key: value.to(device) for key, value in collate(chunk).items()}
            labels = inputs.pop("labels", None)
            # Around the call alone: what encloses a yield would reach into the caller's code.
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                logits = model(**inputs).logits.float()
            if labels is not None:
                inputs["labels"] = labels
            yield logits, inputs


@dataclass(frozen=True)
class Scored:
    """What scoring a split gives.

    Attributes:
        scores: one per row in the metric of the task; shape (rows,), float64.
        loss: mean training loss over the rows: it tells models apart that score the same.
    """

    scores: np.ndarray
    loss: float


def score(model: nn.Module, rows: Rows, collate: Collate, task: str, batch: int = 32) -> Scored:
    """Score every row of ``rows``."""
    parts, losses = [], []
    for logits, inputs in outputs(model, rows, collate, batch):
        values, loss = _row_scores(logits, inputs["labels"], task)
        parts.append(values.cpu().numpy())
        losses.append(loss.cpu().numpy())
    return Scored(
        np.concatenate(parts).astype(np.float64), float(np.concatenate(losses).mean(dtype="f8"))
    )


def _row_scores(
    logits: torch.Tensor, labels: torch.Tensor, task: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores, losses), both of shape (rows,)."""
    if task == "regression":
        squares = (logits.squeeze(-1) - labels).square()
        return squares, squares
    if task in NEXT_TOKEN:
        # Prompt methods put virtual tokens in front; the last positions are those of the text.
        logits = logits[:, -labels.shape[1] :]
        losses = nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
        )
        counted = (labels[:, 1:] != -100).sum(1).clamp(min=1)
        return losses.sum(1) / counted, losses.sum(1) / counted
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    return (logits.argmax(-1) == labels).to(torch.float32), losses
