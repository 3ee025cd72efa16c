# ruff: noqa: RUF001  (the page writes a true minus sign)
"""Numbers read as the intervals allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.report import numbers
from parsimony.report.schema import Interval, Metric

SHARE, LOSS = Metric(name="accuracy", unit="share"), Metric(name="loss")


def interval(low: float, high: float) -> Interval:
    return Interval(estimate=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(
    ("metric", "width", "decimals"),
    [(SHARE, 0.06, 1), (SHARE, 0.4, 1), (SHARE, 0.005, 2), (SHARE, 0, 1), (SHARE, 1e-9, 4),
     (LOSS, 0.05, 3), (LOSS, 30.0, 1)],
)  # fmt: skip
def test_digits_follow_the_narrowest_interval(metric, width, decimals) -> None:
    scores = numbers.Scores.of(metric, [interval(0.5, 0.5 + width), interval(0.1, 90.0)])
    assert scores.decimals == decimals


def test_shares_are_percent_and_differences_signed() -> None:
    scores = numbers.Scores(share=True, decimals=1)
    assert scores.score(0.7312) == "73.1%"
    assert scores.number(0.7312) == "73.1"
    assert scores.difference(-0.0212) == "−2.1"
    assert scores.difference(0.199) == "+19.9"
    assert scores.difference(-0.0001) == "0.0"
    assert scores.tick(0.6) == "60%"
    assert numbers.Scores(share=False, decimals=3).score(1.5) == "1.500"


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)), min_size=1))
def test_bars_stay_inside_their_cell_and_keep_order(pairs) -> None:
    intervals = [interval(low, low + width) for low, width in pairs]
    scale = numbers.Scale.of(intervals, zero=True)
    for one in intervals:
        ends = [float(scale(one.low)), float(scale(one.estimate)), float(scale(one.high))]
        assert ends == sorted(ends)
        assert ends[0] >= 6 and ends[-1] <= 94
    assert 6 <= float(scale(0.0)) <= 94


def test_errors_have_a_sign_and_zero_is_exact() -> None:
    assert [numbers.error(v) for v in (0.0, 0.0426, -0.0426)] == ["exact", "+4.3%", "−4.3%"]
    assert [numbers.error_tick(v) for v in (0.0, 0.05, -0.125)] == ["0", "+5%", "−12.5%"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), (True, "yes"), (0.002, "0.002"), (1e-5, "1e-05"), ([1, 0.5, "a"], "1, 0.5, a"),
     ("x", "x"), ({"a": [1]}, '{"a": [1]}'), (16, "16")],
)  # fmt: skip
def test_plain_values(value, text) -> None:
    assert numbers.plain(value) == text


def test_settings_read_as_words() -> None:
    text = numbers.settings({"learning_rate": 0.002, "dropout": 0.0})
    assert text.replace("\N{NO-BREAK SPACE}", " ") == "learning rate 0.002 · dropout 0"
