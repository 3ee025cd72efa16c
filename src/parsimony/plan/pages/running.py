"""The page of a layout that ran: its loss, and where the time of a step went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parsimony.core import units
from parsimony.core.ledger import Entry
from parsimony.core.pages import Axis, Bars, Column, Page, Plot, Section, Series, Table

PARTS = ("compute", "optimizer", "messages and waiting")


def page(
    measurement: Mapping[str, Any],
    times: Mapping[str, tuple[float, float, float]],
    entries: Sequence[Entry],
) -> Page:
    """What ``plan run`` measured.

    Args:
        measurement: as in ``measurement.json``.
        times: seconds of a step for each of ``PARTS``, by who says so.
        entries: of the ledger.
    """
    losses = [float(loss) for loss in measurement["losses"]]
    steps = [float(step) for step in range(1, len(losses) + 1)]
    took = measurement["seconds"]["value"]
    return Page(
        command="plan run",
        title=measurement["layout"],
        summary=f"A step took {units.format_seconds(took)}, predicted "
        f"{units.format_seconds(measurement['predicted_seconds'])}; the loss went from "
        f"{losses[0]:.4g} to {losses[-1]:.4g}.",
        sections=[
            Section(
                title="The run",
                figures=[
                    Plot(
                        title="Loss",
                        x=Axis(label="step", unit="count"),
                        y=Axis(label="loss, nats per token"),
                        series=[Series(name="training loss", x=steps, y=losses, style="line")],
                    ),
                    Bars(
                        title="Time of a step",
                        x=Axis(label="time of a step", unit="seconds"),
                        parts=list(PARTS),
                        rows=[
                            (name, [max(0.0, s) for s in parts]) for name, parts in times.items()
                        ],
                    ),
                ],
            ),
            Section(title="Predicted and measured", table=_table(entries)),
        ],
    )


def _table(entries: Sequence[Entry]) -> Table:
    def written(value: float | None, unit: str) -> str | None:
        return None if value is None else units.write(value, unit)

    return Table(
        columns=[
            Column(name="quantity"), Column(name="predicted"), Column(name="measured"),
            Column(name="error", unit="share"), Column(name="why none"),
        ],
        rows=[
            [entry.quantity.replace("_", " "), written(entry.predicted, entry.unit),
             written(entry.measured, entry.unit), entry.error, entry.reason or None]
            for entry in entries
        ],
    )  # fmt: skip
