"""A page is data: it comes back from JSON as it went, and what is no page is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from parsimony.core.pages import (
    Axis,
    Bars,
    Column,
    Contours,
    Estimate,
    Intervals,
    Page,
    Plot,
    Section,
    Series,
    Table,
)

X = Axis(label="parameters", unit="count", log=True)
FIGURES = [
    Plot(
        title="Loss",
        x=X,
        y=Axis(label="loss"),
        series=[
            Series(name="law", x=[1, 10], y=[3, 2], low=[2.9, 1.9], high=[3.1, 2.2], style="line"),
            Series(name="largest", x=[10], y=[2.1], style="ringed", labels=["run 7"]),
        ],
    ),
    Contours(
        title="Loss above the best",
        x=X,
        y=Axis(label="batch"),
        xs=[1, 2, 3],
        ys=[1, 2],
        z=[[0.2, 0, 0.2], [0.3, 0.1, 0.3]],
        levels=[0.1],
        region=("tolerated", 0.1),
    ),
    Bars(title="Memory", x=Axis(label="memory", unit="bytes"), parts=["weights", "rest"],
         rows=[("first", [3, 4]), ("last", [0, 5])], limit=("device", 9)),
    Intervals(title="Differences", x=Axis(label="energy"), reference=("none", 0),
              rows=[Estimate(name="bf16", value=-1, low=-2, high=0), Estimate(name="b", value=1)]),
]  # fmt: skip


def page() -> Page:
    table = Table(columns=[Column(name="name"), Column(name="value", unit="")],
                  rows=[["alpha", 0.3], ["beta", None]])  # fmt: skip
    section = Section(title="All", text="Every kind.", figures=FIGURES, table=table)
    return Page(command="plan", title="T", summary="S.", sections=[section], notes=["n"])


def test_a_page_comes_back_from_json_as_it_went() -> None:
    text = page().model_dump_json()
    assert Page.model_validate_json(text) == page()
    assert Page.model_validate(json.loads(text)) == page()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_no_digit_of_a_number_is_lost(values: list[float]) -> None:
    series = Series(name="s", x=values, y=values)
    assert Series.model_validate_json(series.model_dump_json()).x == values


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"y": [1.0, float("nan")]}, "finite number"),
        ({"y": [1.0]}, "series 'law' needs one value of each kind for every x"),
        ({"low": [1.0, 1.0]}, "series 'law' needs one value of each kind for every x"),
        ({"labels": ["a"]}, "series 'law' needs one value of each kind for every x"),
    ],
)
def test_a_series_that_is_not_whole_is_refused(change: dict, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Series(**{"name": "law", "x": [1.0, 2.0], "y": [1.0, 2.0], **change})


def test_a_logarithm_of_nothing_is_refused() -> None:
    series = [Series(name="s", x=[0, 1], y=[1, 1])]
    with pytest.raises(ValidationError, match="axis 'parameters' needs positive values"):
        Plot(title="t", x=X, y=Axis(label="y"), series=series)


@pytest.mark.parametrize(
    ("kind", "change", "text"),
    [
        (0, {"series": [{"name": "s", "x": [], "y": []}]}, "the plot 'Loss' needs a point"),
        (1, {"z": [[1, 2, 3]]}, "z needs one row for every y"),
        (1, {"xs": [0, 1, 2]}, "needs positive values"),
        (2, {"rows": [("first", [1])]}, "every bar needs one length for each part"),
        (2, {"rows": [("first", [1, -1])]}, "greater than or equal to 0"),
        (3, {"rows": []}, "at least 1 item"),
        (0, {"kind": "pie"}, "Input should be 'plot'"),
    ],
)
def test_a_figure_that_is_not_whole_is_refused(kind: int, change: dict, text: str) -> None:
    figure = FIGURES[kind]
    with pytest.raises(ValidationError, match=text):
        type(figure).model_validate({**figure.model_dump(), **change})


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([["alpha"]], "one cell for each column"),
        ([["alpha", "0.3"]], "column 'value' holds words or numbers"),
        ([[1.0, 1.0]], "column 'name' holds words or numbers"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(rows: list, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Table(columns=[Column(name="name"), Column(name="value", unit="")], rows=rows)
