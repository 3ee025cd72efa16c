"""The page of an energy study: what each arm takes more or less than the baseline, and its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from parsimony.plan.energy_study.analysis import UNITS, Comparison, Findings, Trial


def page(
    title: str,
    level: float,
    findings: Findings,
    trials: Sequence[Trial],
    arms: Sequence[dict[str, Any]],
) -> Page:
    """What ``plan energy-study`` found.

    Args:
        title: the arms.
        level: of the intervals.
        findings: of the analysis.
        trials: the runs.
        arms: means of each arm, as in ``result.json``.
    """
    compared = findings.comparisons
    settled = [c for c in compared if c.verdict in ("lower", "higher")]
    summary = "; ".join(
        f"{c.arm}: {c.response} {c.verdict} by {abs(c.difference / c.baseline):.1%}"
        for c in settled
    )
    sections = []
    if compared:
        sections.append(
            Section(
                title="Differences",
                text=f"{level:.3g}% intervals of the paired difference to the baseline, before "
                "correction; the verdicts below are corrected for the number of tests.",
                figures=[_differences(compared, response) for response in
                         dict.fromkeys(c.response for c in compared)],
                table=_table(compared),
            )
        )  # fmt: skip
    sections.append(Section(title="Runs", figures=_runs(trials, arms), table=_means(arms)))
    return Page(
        command="plan energy-study",
        title=title,
        summary=f"{summary}." if summary else "No difference found.",
        sections=sections,
        notes=[*(f"no test: {text}" for text in findings.untested), *findings.warnings],
    )


def _differences(compared: Sequence[Comparison], response: str) -> Intervals:
    return Intervals(
        title=f"Difference in {response}",
        x=Axis(label=f"{response}, against the baseline", unit="share"),
        rows=[
            Estimate(name=c.arm, value=c.difference / c.baseline, low=c.low / c.baseline,
                     high=c.high / c.baseline)
            for c in compared
            if c.response == response
        ],
        reference=("no difference", 0),
    )  # fmt: skip


def _runs(trials: Sequence[Trial], arms: Sequence[dict[str, Any]]) -> list[Plot]:
    """Energy and time of every run, in the order of their blocks."""
    found = []
    for title, unit, read in (
        ("energy", UNITS["energy"], lambda trial: trial.joules),
        ("time", "seconds", lambda trial: trial.seconds),
    ):
        series = []
        for arm in (mean["name"] for mean in arms):
            known = [(t.block, read(t)) for t in trials if t.arm == arm and read(t) is not None]
            if known:
                blocks, values = zip(*known, strict=True)
                series.append(Series(name=arm, x=blocks, y=values))
        if series:
            found.append(
                Plot(title=f"{title} of a run".capitalize(), x=Axis(label="block"),
                     y=Axis(label=title, unit=unit), series=series)
            )  # fmt: skip
    return found


def _table(compared: Sequence[Comparison]) -> Table:
    return Table(
        columns=[
            Column(name="arm"), Column(name="response"), Column(name="baseline", unit=""),
            Column(name="difference", unit=""), Column(name="low", unit=""),
            Column(name="high", unit=""), Column(name="p, corrected", unit=""),
            Column(name="pairs", unit="count"), Column(name="verdict"),
            Column(name="more runs needed", unit="count"),
        ],
        rows=[
            [c.arm, f"{c.response}, {UNITS[c.response.split()[0]]}", c.baseline, c.difference,
             c.low, c.high, c.corrected, c.pairs, c.verdict, c.more_runs]
            for c in compared
        ],
    )  # fmt: skip


def _means(arms: Sequence[dict[str, Any]]) -> Table:
    shown = {"runs": "count", "joules": "J", "net_joules": "J", "seconds": "seconds",
             "kilograms": "kg CO2e", "accuracy": ""}  # fmt: skip
    return Table(
        columns=[
            Column(name="mean of a run"),
            *(Column(name=name.replace("_", " "), unit=unit) for name, unit in shown.items()),
        ],
        rows=[[arm["name"], *(arm[name] for name in shown)] for arm in arms],
    )
