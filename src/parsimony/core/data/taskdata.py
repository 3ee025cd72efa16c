"""What every area trains and measures on: three splits of one task, with a fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

Task = Literal[
    "text-classification",
    "text-pair-classification",
    "regression",
    "causal-lm",
    "instruction",
    "code",
    "tabular-classification",
    "audio-classification",
]
TASKS: tuple[Task, ...] = get_args(Task)
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class TaskData:
    """A data set that is checked, split and ready for one task.

    Attributes:
        name: file name or built-in name.
        task: what is learned.
        text: source column names of the text: one, or two for pairs; none for tabular data. For
            sounds, the column that names them; for instructions, that of the messages, or those of
            prompt and completion.
        label: source column name of the label; ``None`` where the text itself is learned.
        labels: class names in the order of their ids; empty unless classification. Sorted as
            text, or as numbers when every name is a whole number.
        splits: ``"train"``, ``"validation"`` and ``"test"``. Columns: ``"text"`` (str),
            ``"text_pair"`` (str, pairs only), ``"features"`` (list of float, tabular only),
            ``"audio"`` (path or bytes of a sound file) with its ``"digest"``, ``"samples"``,
            ``"rate"`` and ``"channels"`` (see ``core.data.audio``),
            ``"messages"`` (JSON text of a conversation, see ``core.data.dialogues``),
            ``"label"`` (int class id, or float for regression; absent where ``label`` is ``None``).
        notices: sentences for the user: chosen columns, duplicates, dropped rows.
        fingerprint: sha256 over task, class names, used cells and split assignment. It does not
            depend on the order of the rows, the file format or the machine.
    """

    name: str
    task: Task
    text: tuple[str, ...]
    label: str | None
    labels: tuple[str, ...]
    splits: dict[str, pd.DataFrame]
    notices: tuple[str, ...]
    fingerprint: str


def row_keys(table: pd.DataFrame, columns: list[str]) -> list[str]:
    """A sha256 per row over its cells in ``columns``: equal cells give equal keys everywhere."""
    return [
        hashlib.sha256(json.dumps(cells).encode("ascii")).hexdigest()
        for cells in zip(*(table[column].tolist() for column in columns), strict=True)
    ]


def fingerprint(task: Task, labels: tuple[str, ...], keys: dict[str, list[str]]) -> str:
    """Hash a split data set; ``keys`` holds the row keys of each split, in any order."""
    content = [task, list(labels), {name: sorted(keys[name]) for name in SPLITS}]
    return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()
