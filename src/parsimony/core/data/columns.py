"""Find out which columns hold the text and the label, and which task they make."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from parsimony.core.data import audio, dialogues
from parsimony.core.data.files import is_missing, require_column
from parsimony.core.data.taskdata import TASKS, Task
from parsimony.core.errors import DataError, InputError, nearest

_TEXT_HINTS = (
    "text", "sentence", "content", "document", "review", "body", "message", "comment", "tweet",
    "utterance", "query", "question", "prompt", "description", "abstract", "article", "code",
)  # fmt: skip
_LABEL_HINTS = (
    "label", "labels", "target", "class", "category", "sentiment", "intent", "topic", "rating",
    "stars", "score", "label_text", "y",
)  # fmt: skip
_PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
    ("text1", "text2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"),
    ("question", "sentence"), ("question", "passage"), ("question", "context"),
    ("question", "answer"), ("query", "passage"), ("query", "document"),
)  # fmt: skip

_TEXT_NAMES = {*_TEXT_HINTS, *(name for pair in _PAIRS for name in pair)}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?", re.IGNORECASE)

# Tasks of prompts and their answers. Data never look like code: it has to be asked for.
_ANSWERS: tuple[Task, ...] = ("instruction", "code")

# Longest mean lengths closer than this share are a tie that only the user can break.
_TIE = 0.8
# A numeric label has classes while it has few values, or many rows for each whole number.
_FEW_VALUES = 20
_ROWS_PER_VALUE = 20
_MOST_CLASSES = 100


@dataclass(frozen=True)
class Columns:
    """The columns in use. ``notices`` says which of them nobody named."""

    task: Task
    text: tuple[str, ...]
    label: str | None
    notices: tuple[str, ...]


def choose(
    table: pd.DataFrame, file: str, *, text: str | None, label: str | None, task: str | None
) -> Columns:
    """Choose text, label and task by what is given, then by name, then by content.

    The label is a column with a known label name, else the one other column of few distinct
    values. The text is a known pair of names, a column with a known text name, or the string
    column of the longest mean length. A column of sounds comes before any text, and so do
    conversations, or prompts with completions, where no column has a known label name.

    Raises:
        InputError: unknown task, or two columns fit equally well.
        DataError: no such column, or no column that fits.
    """
    if task is not None and task not in TASKS:
        raise InputError(f"unknown task '{task}'", hint=nearest(task, TASKS))
    if task == "tabular-classification":
        raise InputError(
            "tabular-classification is the task of the built-in 'digits' only",
            hint="Give a text column and another task",
        )
    if task in ("causal-lm", *_ANSWERS) and label is not None:
        raise InputError(f"{task} learns the text itself and takes no label", got=label)
    texts = _split_names(text, table.columns) if text is not None else ()
    for column in (*texts, *([label] if label is not None else [])):
        require_column(table, column, file)
    if len(texts) > 2:
        raise InputError("--text takes one column, or two for pairs", got=text)
    if label is not None and label in texts:
        raise InputError("the text and the label must be different columns", got=label)

    sounds = audio.columns_of(table)
    if task == "audio-classification" or (task is None and sounds and {*texts} <= {*sounds}):
        return _choose_sounds(table, file, texts, label, task)
    if task in _ANSWERS or (task is None and label is None and not texts):
        found = texts or dialogues.columns_of(table)
        if task in _ANSWERS or (found and not any(_named(table, h) for h in _LABEL_HINTS)):
            return _choose_instructions(table, file, found, task, given=bool(texts))
    notices = []
    if label is None and task != "causal-lm":
        label = _find_label(table, file, texts, required=task is not None)
        if label is not None:
            notices.append(f"The label is the column '{label}'; pass --label to choose another.")
    if not texts:
        texts = _find_texts(table, file, label, task)
        named = " and ".join(f"'{column}'" for column in texts)
        notices.append(f"The text is the column {named}; pass --text to choose another.")
    if task is None:
        task = _find_task(table, texts, label)
        why = "" if label is not None else "No column looks like a label. "
        notices.append(f"{why}The task is {task}; pass --task to choose another.")
    _check_count(task, texts)
    return Columns(task, texts, label, tuple(notices))


def _choose_sounds(
    table: pd.DataFrame, file: str, texts: tuple[str, ...], label: str | None, task: str | None
) -> Columns:
    found, notices = list(texts) or audio.columns_of(table), []
    if not found:
        raise DataError(
            "no column holds sounds",
            file=file,
            hint=f"Pass --text with one of: {_listing(table.columns)}",
        )
    if len(found) > 1:
        raise _ambiguous("text", found, table)
    if not texts:
        notices.append(f"The sounds are in column '{found[0]}'; pass --text to choose another.")
    if label is None:
        label = _find_label(table, file, tuple(found), required=True)
        notices.append(f"The label is the column '{label}'; pass --label to choose another.")
    if task is None:
        notices.append("The task is audio-classification; pass --task to choose another.")
    return Columns("audio-classification", tuple(found), label, tuple(notices))


def _choose_instructions(
    table: pd.DataFrame, file: str, found: tuple[str, ...], task: str | None, *, given: bool
) -> Columns:
    if not found:
        raise DataError(
            f"{task} needs a column 'messages', or the columns 'prompt' and 'completion'",
            file=file,
            hint=f"Pass --text with one or two of: {_listing(table.columns)}",
        )
    notices = []
    if not given:
        kind = "conversations are" if len(found) == 1 else "prompts and completions are"
        notices.append(f"The {kind} in {_listing(found)}; pass --text to choose others.")
    if task is None:
        notices.append("The task is instruction; pass --task to choose another.")
    return Columns("code" if task == "code" else "instruction", found, None, tuple(notices))


def _split_names(text: str, columns: Iterable[str]) -> tuple[str, ...]:
    if text in columns:
        return (text,)
    return tuple(name.strip() for name in text.split(","))


def _check_count(task: Task, texts: tuple[str, ...]) -> None:
    if task == "text-pair-classification" and len(texts) != 2:
        raise InputError(
            "text-pair-classification needs two text columns",
            got=",".join(texts),
            hint="Pass them as --text first,second",
        )
    if task in ("text-classification", "causal-lm") and len(texts) != 1:
        raise InputError(f"{task} needs one text column", got=",".join(texts), hint="Pass --text")


def _named(table: pd.DataFrame, hint: str) -> str | None:
    """The column whose name equals ``hint`` apart from case."""
    return next((c for c in table.columns if c.strip().lower() == hint), None)


def _find_label(
    table: pd.DataFrame, file: str, texts: tuple[str, ...], *, required: bool
) -> str | None:
    for hint in _LABEL_HINTS:
        column = _named(table, hint)
        if column is not None and column not in texts:
            return column
    few = min(_MOST_CLASSES, max(2, len(table) // 5))
    fitting = [
        column
        for column in table.columns
        if column not in texts
        and column.strip().lower() not in _TEXT_NAMES
        and 2 <= len({str(value) for value in table[column]}) <= few
    ]
    if len(table.columns) == 1:  # it must be the text
        fitting = []
    if len(fitting) > 1:
        raise _ambiguous("label", fitting, table)
    if not fitting and required:
        raise DataError(
            "no column looks like a label",
            file=file,
            hint=f"Pass --label with one of: {_listing(table.columns)}",
        )
    return fitting[0] if fitting else None


def _find_texts(
    table: pd.DataFrame, file: str, label: str | None, task: str | None
) -> tuple[str, ...]:
    lengths = {
        column: _mean_length(table[column])
        for column in table.columns
        if column != label and _is_text(table[column])
    }
    if label is not None and task != "text-classification":
        for pair in _PAIRS:
            found = [_named(table, name) for name in pair]
            if all(column in lengths for column in found):
                return tuple(str(column) for column in found)
    for hint in _TEXT_HINTS:
        column = _named(table, hint)
        if column in lengths:
            return (str(column),)
    if not lengths:
        raise DataError(
            "no column holds text",
            file=file,
            hint=f"Pass --text with one of: {_listing(table.columns)}",
        )
    longest = max(lengths.values())
    fitting = [column for column, length in lengths.items() if length >= _TIE * longest]
    if len(fitting) > 1:
        raise _ambiguous("text", fitting, table)
    return (fitting[0],)


def _find_task(table: pd.DataFrame, texts: tuple[str, ...], label: str | None) -> Task:
    if label is None:
        return "causal-lm"
    values = [value for value in table[label] if not is_missing(value)]
    numbers = [to_number(value) for value in values]
    if values and all(number is not None for number in numbers):
        distinct = {str(number) for number in numbers}
        whole = all(str(number).endswith(".0") for number in numbers)
        crowded = whole and len(values) >= _ROWS_PER_VALUE * len(distinct)
        if len(distinct) > _FEW_VALUES and not crowded:
            return "regression"
    return "text-classification" if len(texts) == 1 else "text-pair-classification"


def to_number(value: Any) -> float | None:
    """The number ``value`` is or spells, also a non-finite one; ``None`` for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _is_text(column: pd.Series) -> bool:
    values = [value for value in column if not is_missing(value)]
    strings = bool(values) and all(isinstance(value, str) for value in values)
    return strings and any(to_number(value) is None for value in values)


def _mean_length(column: pd.Series) -> float:
    lengths = [len(value) for value in column if not is_missing(value)]
    return sum(lengths) / len(lengths)


def _ambiguous(role: str, fitting: list[str], table: pd.DataFrame) -> InputError:
    return InputError(
        f"the columns {_listing(fitting)} fit equally well as the {role}",
        hint=f"Pass --{role} with one of: {_listing(table.columns)}",
    )


def _listing(columns: Iterable[str]) -> str:
    return ", ".join(f"'{column}'" for column in columns)
