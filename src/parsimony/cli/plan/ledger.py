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
        typer.Argument(help="A run folder, one that holds runs, or what --out wrote."),
    ] = Path("runs"),
    out: options.Out = None,
    report: options.Report = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print predicted beside measured for every run below FOLDER, and how far off they were.

    --out keeps it as JSON, which is read as FOLDER is.
    """
    from dataclasses import asdict

    from parsimony.cli.main import emit
    from parsimony.core import artifacts, ledger
    from parsimony.core.console import Console
    from parsimony.plan.pages import ledger as graded

    found = ledger.read(folder)
    quantities, methods = ledger.summary(found), ledger.summary(found, per_method=True)
    result = {
        "level": ledger.LEVEL,
        "machines": ledger.machines(folder),
        "quantities": quantities,
        "methods": methods,
        "entries": [{"run": run, **asdict(entry)} for run, entry in found],
    }
    if out is not None:
        artifacts.write_json(out, result)
        Console(quiet).say(f"Written to {out}")
    if report is not None:
        page = graded.page(found, quantities, methods)
        options.save_report(page, report, Console(quiet))
    if json:
        emit(result)
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
