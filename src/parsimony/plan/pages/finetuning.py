"""The page of one fine-tuning, foretold: memory by part, and each figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parsimony.core import units
from parsimony.core.ledger import LEVEL, Entry, Interval
from parsimony.core.pages import Axis, Bars, Column, Page, Section, Table


def page(
    title: str,
    candidate: str,
    memory: Mapping[str, float],
    entries: Sequence[Entry],
    intervals: Mapping[str, Interval],
    limit: float | None = None,
) -> Page:
    """What ``plan finetune`` found.

    Args:
        title: model and data.
        candidate: method and size.
        memory: bytes at the peak, by part.
        entries: the predictions.
        intervals: of each, by quantity.
        limit: bytes that the budget allows.
    """
    told = {entry.quantity: entry.predicted for entry in entries}
    peak, seconds = told.get("peak_memory"), told.get("seconds")
    summary = candidate
    if peak is not None:
        summary += f" takes {units.format_bytes(peak)} at its peak"
    summary += (
        f" and {units.format_seconds(seconds)}." if seconds is not None else
        "; how long is unknown."
    )  # fmt: skip
    parts = {name: size for name, size in memory.items() if size > 0}
    bars = Bars(
        title="Memory at the peak of a training step",
        note="" if limit is None else f"The budget allows {units.format_bytes(limit)}.",
        x=Axis(label="memory", unit="bytes"),
        parts=list(parts),
        rows=[(candidate, list(parts.values()))],
    )
    return Page(
        command="plan finetune",
        title=title,
        summary=summary,
        sections=[
            Section(title="Memory by part", figures=[bars]),
            Section(
                title="Every figure",
                text=f"{LEVEL:.0%} intervals, from the errors of earlier predictions.",
                table=_table(entries, intervals),
            ),
        ],
    )


def _table(entries: Sequence[Entry], intervals: Mapping[str, Interval]) -> Table:
    names = ("quantity", "predicted", "low", "high", "how", "interval by, or why none")

    def written(value: float | None, unit: str) -> str | None:
        return None if value is None else units.write(value, unit)

    return Table(
        columns=[Column(name=name) for name in names],
        rows=[
            [entry.quantity.replace("_", " "), written(entry.predicted, entry.unit),
             written(intervals[entry.quantity].low, entry.unit),
             written(intervals[entry.quantity].high, entry.unit),
             entry.provenance or None, intervals[entry.quantity].basis]
            for entry in entries
        ],
    )  # fmt: skip
