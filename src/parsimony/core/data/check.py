"""Check every cell in use and bring it into the columns all tasks share.

Classification keeps the class name as text here; ids come after the splits are known.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from parsimony.core.data import audio, dialogues
from parsimony.core.data.columns import Columns, to_number
from parsimony.core.data.files import is_missing, require_column
from parsimony.core.errors import DataError


def prepare(table: pd.DataFrame, columns: Columns, file: str) -> pd.DataFrame:
    """Return ``text`` (``text_pair``) and ``label`` of ``table`` with its row numbers as index.

    Sounds give the columns of ``audio.prepare`` in place of the text, instructions ``messages``.

    Labels are class names (str), or finite floats for regression.

    Raises:
        DataError: a missing column, a missing or non-text text, a missing label, a regression
            target that is not a finite number. Each names the first bad row.
    """
    if columns.task in ("instruction", "code"):
        return pd.DataFrame({"messages": _instructions(table, columns.text, file)})
    result: dict[str, pd.Series] = {}
    for name, column in zip(("text", "text_pair"), columns.text, strict=False):
        require_column(table, column, file)
        if columns.task == "audio-classification":
            result |= dict(audio.prepare(table[column], column, file).items())
        else:
            result[name] = _texts(table[column], column, file)
    if columns.label is not None:
        require_column(table, columns.label, file)
        check = _targets if columns.task == "regression" else _classes
        result["label"] = check(table[columns.label], columns.label, file)
    return pd.DataFrame(result)


def _instructions(table: pd.DataFrame, columns: tuple[str, ...], file: str) -> pd.Series:
    """Conversations, or prompts with their completions, as ``core.data.dialogues`` writes them."""
    for column in columns:
        require_column(table, column, file)
    if len(columns) == 1:
        return dialogues.conversations(table[columns[0]], file)
    kinds = zip(columns, ("a prompt", "a completion"), strict=True)
    return dialogues.pairs(*(_strings(table[name], kind, name, file) for name, kind in kinds))


def _texts(values: pd.Series, column: str, file: str) -> pd.Series:
    _strings(values, "a text", column, file)
    if all(to_number(value) is not None for value in values):
        raise DataError(
            "the text column must hold text, but holds numbers only",
            file=file,
            column=column,
            hint="Pass --text with another column",
        )
    return values


def _strings(values: pd.Series, what: str, column: str, file: str) -> pd.Series:
    _refuse_missing(values, what, column, file)
    for row, value in values.items():
        if not isinstance(value, str):
            raise DataError(
                f"{what} must be a string",
                file=file,
                row=row,
                column=column,
                got=value,
                hint="Pass --text with another column",
            )
        if not _is_unicode(value):
            raise DataError(
                f"{what} must be valid Unicode, but has half a surrogate pair",
                file=file,
                row=row,
                column=column,
                hint="Repair or remove the row",
            )
    return values


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _classes(values: pd.Series, column: str, file: str) -> pd.Series:
    _refuse_missing(values, "a label", column, file)
    for row, value in values.items():
        if isinstance(value, list | dict | bytes):
            raise DataError(
                "a label must be one string, number or truth value",
                file=file,
                row=row,
                column=column,
                got=value,
            )
    return values.map(str)


def _targets(values: pd.Series, column: str, file: str) -> pd.Series:
    # A NaN is a number that is not finite, not a missing cell: the message differs.
    _refuse_missing(values.where(~values.map(_is_nan), 0.0), "a label", column, file)
    numbers = []
    for row, value in values.items():
        number = to_number(value)
        if number is None or not math.isfinite(number):
            raise DataError(
                "a regression target must be a finite number",
                file=file,
                row=row,
                column=column,
                got=value,
                hint="Repair or remove the row, or pass --task text-classification",
            )
        numbers.append(number)
    return pd.Series(numbers, index=values.index, dtype=float)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _refuse_missing(values: pd.Series, what: str, column: str, file: str) -> None:
    missing = [row for row, value in values.items() if is_missing(value)]
    if missing:
        count = len(missing)
        many = f"{count} rows have none" if count > 1 else "this row has none"
        raise DataError(
            f"{what} must not be missing; {many}",
            file=file,
            row=missing[0],
            column=column,
            hint="Fill the cells or remove the rows",
        )
