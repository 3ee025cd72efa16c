"""``parsimony ledger``: how good the predictions were, over all runs of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one that holds runs.")] = Path(
        "runs"
    ),
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print predicted beside measured for every run below FOLDER, and the errors in short."""
    from dataclasses import asdict

    from parsimony.cli.main import emit
    from parsimony.core import ledger

    entries = ledger.read(folder)
    short = ledger.summary([entry for _, entry in entries])
    if json:
        emit({"summary": short, "entries": [{"run": run, **asdict(e)} for run, e in entries]})
        return
    if not quiet:
        table(
            ["run", "of", "quantity", "predicted", "measured", "error"],
            [
                [run, e.subject, e.quantity, _value(e.predicted, e.unit),
                 _value(e.measured, e.unit), _error(e.error)]
                for run, e in entries
            ],
            title="Predicted and measured",
            numbers=range(3, 6),
        )  # fmt: skip
    table(
        ["quantity", "predictions", "unknown", "median", "worst under", "worst over"],
        [
            [row["quantity"], str(row["predictions"]), str(row["unknown"]),
             _error(row["median_absolute_error"], sign=False), _error(row["worst_under"]),
             _error(row["worst_over"])]
            for row in short
        ],
        title="Errors: (predicted - measured) / measured",
        numbers=range(1, 6),
    )  # fmt: skip


def _value(value: float | None, unit: str) -> str:
    from parsimony.core import units

    if value is None:
        return "unknown"
    writers = {"bytes": units.format_bytes, "seconds": units.format_seconds}
    return writers.get(unit, units.format_count)(value)


def _error(value: float | None, sign: bool = True) -> str:
    return "-" if value is None else f"{100 * value:{'+' if sign else ''}.1f} %"
