"""``parsimony plan ledger``: how good the predictions were, over all runs of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table


def command(
    folder: Annotated[
        Path,
        typer.Argument(help="A run folder, one that holds runs, or what --json printed of one."),
    ] = Path("runs"),
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print predicted beside measured for every run below FOLDER, and how far off they were."""
    from dataclasses import asdict

    from parsimony.cli.main import emit
    from parsimony.core import ledger

    found = ledger.read(folder)
    quantities, methods = ledger.summary(found), ledger.summary(found, per_method=True)
    if json:
        emit(
            {
                "level": ledger.LEVEL,
                "machines": ledger.machines(folder),
                "quantities": quantities,
                "methods": methods,
                "entries": [{"run": run, **asdict(entry)} for run, entry in found],
            }
        )
        return
    if not quiet:
        table(
            ["run", "of", "quantity", "predicted", "measured", "error"],
            [
                [run, e.subject, e.quantity, value(e.predicted, e.unit),
                 value(e.measured, e.unit), share(e.error, sign=True)]
                for run, e in found
            ],
            title="Predicted and measured",
            numbers=range(3, 6),
        )  # fmt: skip
    title = "Errors: (predicted - measured) / measured"
    table(
        ["quantity", *COLUMNS], [[row["quantity"], *cells(row)] for row in quantities],
        title=title, numbers=range(1, 8),
    )  # fmt: skip
    table(
        ["quantity", "predicted by", "method", *COLUMNS],
        [
            [row["quantity"], row["verb"] or "-", row["method"] or "whole run", *cells(row)]
            for row in methods
        ],
        title="The same by method",
        numbers=range(3, 10),
    )


COLUMNS = ("graded", "unknown", "median", "worst under", "worst over", "intervals", "held")


def cells(row: dict[str, Any]) -> list[str]:
    """What ``COLUMNS`` show of a row of ``core.ledger.summary``."""
    return [
        str(row["predictions"]),
        str(row["unknown"]),
        share(row["median_absolute_error"]),
        share(row["worst_under"], sign=True),
        share(row["worst_over"], sign=True),
        str(row["intervals"]),
        share(row["coverage"]),
    ]


def value(number: float | None, unit: str) -> str:
    """``(1.9e9, "bytes")`` -> ``"1.77 GiB"``."""
    from parsimony.core import units

    if number is None:
        return "unknown"
    writers = {"bytes": units.format_bytes, "seconds": units.format_seconds}
    return writers.get(unit, units.format_count)(number)


def share(number: float | None, sign: bool = False) -> str:
    """``0.25`` -> ``"25.0 %"``."""
    return "-" if number is None else f"{100 * number:{'+' if sign else ''}.1f} %"
