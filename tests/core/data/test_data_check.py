"""Bad cells: each refused in one line that names file, row and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parsimony.core.data import load
from parsimony.core.errors import DataError

ROWS = [{"text": f"some words {i}", "label": "ab"[i % 2]} for i in range(10)]
NUMBERS = [{"text": f"some words {i}", "label": i / 3} for i in range(30)]


def refusal(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> str:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{tmp_path}/", "")


def changed(rows: list[dict[str, Any]], row: int, **cells: Any) -> list[dict[str, Any]]:
    """``rows`` with other cells in the 1-based ``row``."""
    return [{**old, **(cells if i == row else {})} for i, old in enumerate(rows, 1)]


BAD_CELLS: dict[str, tuple[list[dict[str, Any]], dict[str, str], str]] = {
    "a missing label": (
        changed(ROWS, 4, label=None), {},
        "a.jsonl, row 4, column 'label': a label must not be missing; this row has none. "
        "Fill the cells or remove the rows",
    ),
    "two missing labels": (
        changed(changed(ROWS, 4, label=None), 2, label=float("nan")), {},
        "a.jsonl, row 2, column 'label': a label must not be missing; 2 rows have none. "
        "Fill the cells or remove the rows",
    ),
    "a blank text": (
        changed(ROWS, 3, text="  "), {},
        "a.jsonl, row 3, column 'text': a text must not be missing; this row has none. "
        "Fill the cells or remove the rows",
    ),
    "a number among texts": (
        changed(ROWS, 5, text=7), {"text": "text"},
        "a.jsonl, row 5, column 'text': a text must be a string, but got 7. "
        "Pass --text with another column",
    ),
    "numbers for text": (
        [{"text": str(i), "label": "ab"[i % 2]} for i in range(10)], {"text": "text"},
        "a.jsonl, column 'text': the text column must hold text, but holds numbers only. "
        "Pass --text with another column",
    ),
    "half a character": (
        changed(ROWS, 5, text="x \ud800"), {},
        "a.jsonl, row 5, column 'text': a text must be valid Unicode, but has half a surrogate "
        "pair. Repair or remove the row",
    ),
    "a list for a label": (
        changed(ROWS, 6, label=["a"]), {"task": "text-classification"},
        "a.jsonl, row 6, column 'label': a label must be one string, number or truth value, "
        "but got ['a']",
    ),
    "one class": (
        [{**row, "label": "a"} for row in ROWS], {},
        "a.jsonl, column 'label': classification needs at least two classes, but got ['a']. "
        "Pass --label with another column",
    ),
    "an infinite target": (
        changed(NUMBERS, 8, label=float("inf")), {},
        "a.jsonl, row 8, column 'label': a regression target must be a finite number, but got "
        "inf. Repair or remove the row, or pass --task text-classification",
    ),
    "a NaN target": (
        changed(NUMBERS, 8, label=float("nan")), {"task": "regression"},
        "a.jsonl, row 8, column 'label': a regression target must be a finite number, but got "
        "nan. Repair or remove the row, or pass --task text-classification",
    ),
    "a word among targets": (
        changed(NUMBERS, 8, label="high"), {"task": "regression"},
        "a.jsonl, row 8, column 'label': a regression target must be a finite number, but got "
        "'high'. Repair or remove the row, or pass --task text-classification",
    ),
    "a missing target": (
        changed(NUMBERS, 8, label=None), {"task": "regression"},
        "a.jsonl, row 8, column 'label': a label must not be missing; this row has none. "
        "Fill the cells or remove the rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CELLS)
def test_a_bad_cell_is_one_line_that_says_where(case: str, tmp_path: Path) -> None:
    rows, options, message = BAD_CELLS[case]
    assert refusal(tmp_path, rows, **options) == message


def test_an_empty_csv_cell_is_missing_but_the_word_na_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [("NA" if i == 0 else f"words {i}", "NA" if i % 2 else "null") for i in range(10)]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    assert load(path).labels == ("NA", "null")
    path.write_text(path.read_text() + "words,\n")
    with pytest.raises(DataError, match=r"row 11, column 'label': a label must not be missing"):
        load(path)
