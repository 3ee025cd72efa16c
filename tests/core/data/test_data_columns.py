"""Which columns are chosen when nobody names them, and what is said when that is unclear."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from parsimony.core.data.columns import Columns, choose, to_number
from parsimony.core.errors import InputError

LONG = [f"a long enough sentence about the matter number {i}" for i in range(40)]
LONG_TOO = [f"another quite long sentence about that matter {i}" for i in range(40)]
WORDS = [f"word{i}" for i in range(40)]
CLASSES = ["a", "b"] * 20


def pick(
    columns: dict[str, list[Any]],
    text: str | None = None,
    label: str | None = None,
    task: str | None = None,
) -> Columns:
    table = pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()})
    return choose(table, "a.csv", text=text, label=label, task=task)


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        pick(*arguments, **options)
    return str(caught.value)


def test_known_names_win_over_content() -> None:
    found = pick({"notes": LONG, "Text": WORDS, "group": CLASSES, "Label": ["x", "y"] * 20})
    assert (found.text, found.label, found.task) == (("Text",), "Label", "text-classification")


def test_content_decides_where_names_do_not() -> None:
    found = pick({"id": list(range(40)), "a": WORDS, "b": LONG, "c": CLASSES})
    assert (found.text, found.label) == (("b",), "c")


def test_choices_are_told_with_the_option_that_changes_them() -> None:
    assert pick({"b": LONG, "c": CLASSES}).notices == (
        "The label is the column 'c'; pass --label to choose another.",
        "The text is the column 'b'; pass --text to choose another.",
        "The task is text-classification; pass --task to choose another.",
    )


def test_nothing_is_told_when_all_is_given() -> None:
    assert pick({"b": LONG, "c": CLASSES}, "b", "c", "text-classification").notices == ()


def test_a_known_pair_makes_pair_classification() -> None:
    found = pick({"hypothesis": LONG, "premise": LONG_TOO, "label": CLASSES})
    assert (found.text, found.task) == (("premise", "hypothesis"), "text-pair-classification")


def test_a_pair_is_named_with_a_comma() -> None:
    found = pick({"x": LONG, "z": LONG_TOO, "label": CLASSES}, "x, z")
    assert (found.text, found.task) == (("x", "z"), "text-pair-classification")


def test_a_column_whose_name_has_a_comma() -> None:
    assert pick({"x,z": LONG, "label": CLASSES}, "x,z").text == ("x,z",)


@pytest.mark.parametrize(
    ("label", "task"),
    [
        (list(range(40)), "regression"),
        ([str(i / 7) for i in range(40)], "regression"),
        ([i % 5 for i in range(40)], "text-classification"),
        ([str(i % 5) for i in range(40)], "text-classification"),
        ([i % 2 == 0 for i in range(40)], "text-classification"),
        ([float(i % 3) for i in range(40)], "text-classification"),
        ([f"class {i}" for i in range(40)], "text-classification"),
        ([i % 30 for i in range(600)], "text-classification"),  # 20 rows for each whole number
        ([i % 30 for i in range(599)], "regression"),
        ([i % 30 + 0.5 for i in range(600)], "regression"),
    ],
)
def test_the_task_follows_from_the_label(label: list[Any], task: str) -> None:
    text = [f"some words here {i}" for i in range(len(label))]
    assert pick({"text": text, "label": label}).task == task


def test_without_a_label_it_is_a_corpus() -> None:
    found = pick({"text": LONG})
    assert (found.text, found.label, found.task) == (("text",), None, "causal-lm")
    assert found.notices[-1] == (
        "No column looks like a label. The task is causal-lm; pass --task to choose another."
    )
    assert pick({"id": WORDS, "passage": LONG}).task == "causal-lm"
    assert pick({"one": CLASSES}).text == ("one",)


def test_a_corpus_ignores_the_label_column() -> None:
    assert pick({"text": LONG, "label": CLASSES}, task="causal-lm").label is None


def test_pairs_may_have_a_number_to_predict() -> None:
    scores = [i / 8 for i in range(40)]
    found = pick({"sentence1": LONG, "sentence2": LONG_TOO, "score": scores})
    assert (found.task, len(found.text)) == ("regression", 2)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"a": LONG, "b": LONG_TOO, "label": CLASSES}, {},
            "the columns 'a', 'b' fit equally well as the text. "
            "Pass --text with one of: 'a', 'b', 'label'",
        ),
        (
            {"text": LONG, "p": CLASSES, "q": CLASSES}, {},
            "the columns 'p', 'q' fit equally well as the label. "
            "Pass --label with one of: 'text', 'p', 'q'",
        ),
        (
            {"text": LONG, "word": WORDS}, {"task": "text-classification"},
            "a.csv: no column looks like a label. Pass --label with one of: 'text', 'word'",
        ),
        (
            {"n": list(range(40)), "label": CLASSES}, {},
            "a.csv: no column holds text. Pass --text with one of: 'n', 'label'",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"task": "classification"},
            "unknown task 'classification'. Did you mean 'text-classification'? Known: "
            "audio-classification, causal-lm, code, instruction, regression, "
            "tabular-classification, text-classification, text-pair-classification",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"label": "lable"},
            "a.csv: there is no column 'lable'. Did you mean 'label'? Known: label, text",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"text": "txt"},
            "a.csv: there is no column 'txt'. Did you mean 'text'? Known: label, text",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"text": "text", "label": "text"},
            "the text and the label must be different columns, but got 'text'",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"label": "label", "task": "causal-lm"},
            "causal-lm learns the text itself and takes no label, but got 'label'",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"task": "text-pair-classification"},
            "text-pair-classification needs two text columns, but got 'text'. "
            "Pass them as --text first,second",
        ),
        (
            {"a": LONG, "b": LONG_TOO, "label": CLASSES},
            {"task": "text-classification", "text": "a,b"},
            "text-classification needs one text column, but got 'a,b'. Pass --text",
        ),
        (
            {"a": LONG, "b": LONG_TOO, "c": WORDS, "label": CLASSES}, {"text": "a,b,c"},
            "--text takes one column, or two for pairs, but got 'a,b,c'",
        ),
        (
            {"text": LONG, "label": CLASSES}, {"task": "tabular-classification"},
            "tabular-classification is the task of the built-in 'digits' only. "
            "Give a text column and another task",
        ),
    ],
)  # fmt: skip
def test_what_is_unclear_or_wrong_is_refused(
    columns: dict[str, list[Any]], options: dict[str, str], message: str
) -> None:
    assert refusal(columns, **options) == message


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1", 1.0), (" -2.5e3 ", -2500.0), (".5", 0.5), (3, 3.0), ("inf", float("inf")),
        (10**400, float("inf")), ("1_000", None), ("1,5", None), ("", None), (True, None),
        (None, None), ("0x10", None),
    ],
)  # fmt: skip
def test_numbers(value: object, number: float | None) -> None:
    assert to_number(value) == number
