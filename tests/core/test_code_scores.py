"""Scores of written code on pairs whose value is known."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.core import code_scores
from parsimony.core.code_scores import code_bleu, edit_similarity, levenshtein, scores
from parsimony.core.errors import MissingExtraError

TEXT = st.text("ab(\n é", max_size=8)


def slow(first: str, second: str) -> int:
    """The recursion that defines the distance."""
    if not first or not second:
        return len(first) + len(second)
    same = first[-1] == second[-1]
    return min(
        slow(first[:-1], second) + 1,
        slow(first, second[:-1]) + 1,
        slow(first[:-1], second[:-1]) + (not same),
    )


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("kitten", "sitting", 3), ("", "", 0), ("abc", "", 3), ("", "ab", 2), ("flaw", "lawn", 2)],
)
def test_known_distances(first: str, second: str, distance: int) -> None:
    assert levenshtein(first, second) == distance
    longer = max(len(first), len(second))
    assert edit_similarity(first, second) == (1 - distance / longer if longer else 1)


@settings(max_examples=50, deadline=None)
@given(st.text("ab(", max_size=5), st.text("ab(", max_size=5))
def test_the_distance_is_the_one_defined(first: str, second: str) -> None:
    assert levenshtein(first, second) == slow(first, second)


@settings(max_examples=50, deadline=None)
@given(TEXT, TEXT, TEXT)
def test_the_distance_is_a_metric(first: str, second: str, third: str) -> None:
    assert levenshtein(first, second) == levenshtein(second, first)
    assert (levenshtein(first, second) == 0) == (first == second)
    assert levenshtein(first, third) <= levenshtein(first, second) + levenshtein(second, third)


@pytest.mark.parametrize(
    "code", ["pass", "return a", "x = 1", "", "4", "# only this", "not code ((", "x = y\nreturn x"]
)
def test_equal_code_gets_one_in_all(code: str) -> None:
    found = scores([code, f"    {code}\n"], [f"  {code}\n\n", code])
    assert list(found) == ["exact match", "edit similarity", "CodeBLEU"]
    assert all(np.array_equal(values, [1.0, 1.0]) for values in found.values())


def test_code_bleu_is_the_mean_of_what_the_reference_allows() -> None:
    """Renamed: half the words stay, the tree and the flow of data are the same."""
    reference, renamed = "a = f ( b )\nreturn a", "c = f ( d )\nreturn c"
    parts = code_scores._parts(reference, renamed)
    assert parts["syntax_match_score"] == parts["dataflow_match_score"] == 1.0
    assert parts["ngram_match_score"] < 1
    assert code_bleu(reference, renamed) == pytest.approx(
        sum(parts[p] for p in code_scores._PARTS) / 4
    )
    # No n-grams of four words, and no data flow: the tree alone decides.
    assert code_bleu("return a", "return b") == 1.0
    assert code_bleu("return a", "q") == 0.0
    # The package gives full marks for every flow where none matches.
    assert code_bleu("x = y\ny = z\nreturn x + y", "pass") == 0.0


def test_it_leaves_logging_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    code_bleu("pass", "pass")
    assert not caplog.records and logging.root.manager.disable == 0


def test_without_the_package_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(MissingExtraError) as error:
        scores(["a"], ["b"])
    assert str(error.value) == (
        "this needs the package 'codebleu'. Install it with: pip install 'parsimony-ml[code]'"
    )
