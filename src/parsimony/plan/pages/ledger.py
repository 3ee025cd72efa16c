"""The page of a ledger: predicted against measured with the interval, for each quantity."""

from __future__ import annotations

from typing import Any

from parsimony.core import ledger, units
from parsimony.core.ledger import Entry
from parsimony.core.pages import (
    Axis,
    Column,
    Estimate,
    Intervals,
    Page,
    Plot,
    Section,
    Series,
    Table,
)


def page(
    found: list[tuple[str, Entry]], quantities: list[dict[str, Any]], methods: list[dict[str, Any]]
) -> Page:
    """What ``plan ledger`` found.

    Args:
        found: the entries with their runs.
        quantities: their summary, by quantity.
        methods: the same by method.
    """
    graded = [row for row in quantities if row["predictions"]]
    figures = [plot for row in graded if (plot := _quantity(row["quantity"], found)) is not None]
    count = sum(row["predictions"] for row in graded)
    worst = max(graded, key=lambda row: row["median_absolute_error"], default=None)
    summary = "No prediction was graded."
    if worst is not None:
        name = worst["quantity"].replace("_", " ")
        summary = f"{count} graded predictions; the median error is largest for {name}, "
        summary += f"{units.format_share(worst['median_absolute_error'])}."
    errors = [
        Estimate(name=row["quantity"].replace("_", " "), value=row["median_absolute_error"])
        for row in graded
    ]
    medians = [
        Intervals(title="Median absolute error", x=Axis(label="relative error", unit="share"),
                  rows=errors, reference=("exact", 0))
    ] if errors else []  # fmt: skip
    return Page(
        command="plan ledger",
        title=f"{len({run for run, _ in found})} runs, {len(found)} predictions",
        summary=summary,
        sections=[
            Section(
                title="Predicted and measured",
                text=f"Bars are {ledger.LEVEL:.0%} intervals from the errors of all other runs, "
                "where those are enough.",
                figures=figures,
            ),
            Section(title="Errors by quantity", figures=medians, table=_table(quantities, ())),
            Section(title="Errors by method", table=_table(methods, ("verb", "method"))),
        ],
    )


def _quantity(quantity: str, found: list[tuple[str, Entry]]) -> Plot | None:
    """One point for each graded prediction above 0; ``None`` where there is none."""
    graded = [
        (run, e) for run, e in found
        if e.quantity == quantity and e.error is not None and e.predicted and e.measured
    ]  # fmt: skip
    if not graded:
        return None
    alone, banded = [], []
    for run, entry in graded:
        told = ledger.interval(entry, [other for name, other in found if name != run])
        (alone if told.low is None else banded).append((entry, told))
    values = [v for _, e in graded for v in (e.predicted, e.measured) if v]
    ends = [min(values), max(values)]
    series = [Series(name="exact", x=ends, y=ends, style="dashed")]
    if banded:
        # The interval of the measured value stands at its prediction.
        series.append(
            Series(name="measured, with the interval it should lie in",
                   x=[e.predicted for e, _ in banded], y=[e.measured for e, _ in banded],
                   low=[told.low for _, told in banded], high=[told.high for _, told in banded])
        )  # fmt: skip
    if alone:
        series.append(
            Series(name="measured, without an interval", x=[e.predicted for e, _ in alone],
                   y=[e.measured for e, _ in alone], style="hollow")
        )  # fmt: skip
    unit = graded[0][1].unit
    unit = "count" if unit == "operations" else unit
    return Plot(
        title=quantity.replace("_", " "),
        x=Axis(label="predicted", unit=unit, log=True),
        y=Axis(label="measured", unit=unit, log=True),
        series=series,
    )


def _table(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> Table:
    numbers = {"predictions": "count", "unknown": "count", "median_absolute_error": "share",
               "worst_under": "share", "worst_over": "share", "intervals": "count",
               "coverage": "share"}  # fmt: skip
    return Table(
        columns=[
            *(Column(name=name) for name in ("quantity", *keys)),
            *(Column(name=name.replace("_", " "), unit=unit) for name, unit in numbers.items()),
        ],
        rows=[
            [row["quantity"].replace("_", " "), *(row[key] or "whole run" for key in keys),
             *(row[name] for name in numbers)]
            for row in rows
        ],
    )  # fmt: skip
