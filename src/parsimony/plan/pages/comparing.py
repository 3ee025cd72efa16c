"""The page of laws beside each other: the error of each on the largest size held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsimony.core.fitting.columns import TABLE
from parsimony.core.pages import Axis, Column, Estimate, Intervals, Page, Section, Table
from parsimony.core.units import format_share

if TYPE_CHECKING:
    import pandas as pd


def page(found: pd.DataFrame, target: str, rows: int, *, file: str = TABLE) -> Page:
    """What ``plan compare-laws`` found.

    Args:
        found: as ``comparison.compare`` returns it.
        target: what the laws predict.
        rows: of the table.
        file: its name.
    """
    held_out = [_estimate(str(name), row) for name, row in found.iterrows() if _known(row)]
    own = [
        Estimate(name=str(name), value=row["error"])
        for name, row in found.iterrows()
        if row["error"] == row["error"]
    ]
    figures = [
        Intervals(title=title, note=note, x=Axis(label="mean relative error", unit="share"),
                  rows=estimates, reference=("exact", 0))
        for title, note, estimates in (
            ("The largest size, fitted to the rest",
             "95 % intervals, of resampled runs of that size; none where there is only one.",
             held_out),
            ("The runs that the law is fitted to", "", own),
        )
        if estimates
    ]  # fmt: skip
    summary = "No law could be judged on the largest size"
    if held_out:
        summary = f"{held_out[0].name} predicts the {target} of the largest size best, "
        summary += f"within {format_share(held_out[0].value)}"
    failures = [f"{name}: {row['failure']}" for name, row in found.iterrows() if row["failure"]]
    return Page(
        command="plan compare-laws",
        title=f"Laws of {target} on {rows} rows of {file}",
        summary=summary + ".",
        sections=[Section(title="Errors", figures=figures), _table(found)],
        notes=failures,
    )


def _known(row: pd.Series) -> bool:
    return bool(row["held_out"] == row["held_out"])


def _estimate(name: str, row: pd.Series) -> Estimate:
    ends = (None, None) if row["low"] != row["low"] else (row["low"], row["high"])
    return Estimate(name=name, value=row["held_out"], low=ends[0], high=ends[1])


def _table(found: pd.DataFrame) -> Section:
    shares = ("error", "held_out", "low", "high")
    return Section(
        title="Laws",
        table=Table(
            columns=[
                Column(name="law"),
                Column(name="formula"),
                Column(name="constants", unit="count"),
                *(Column(name=name.replace("_", " "), unit="share") for name in shares),
            ],
            rows=[
                [str(name), row["formula"], float(row["constants"]),
                 *(None if row[n] != row[n] else float(row[n]) for n in shares)]
                for name, row in found.iterrows()
            ],
        ),
    )  # fmt: skip
