"""``parsimony plan finetune``: what one fine-tuning will cost, with intervals from past errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.adapt.adapt import Label, Task, Text
from parsimony.cli.plan.ledger import share, value
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.adapt.forecast import Forecast
    from parsimony.core.ledger import Entry


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="Built-in name, folder (a config.json is enough), or hub name 'owner/name'."
        ),
    ],
    data: Annotated[
        str, typer.Argument(help="Table, folder, built-in name, or hub name 'owner/name'.")
    ] = "stdlib-docs",
    *,
    method: Annotated[str, typer.Option("--method", help="Its name; see 'adapt methods'.")],
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            "--rank",
            help="Of the method; the largest that fits when left out.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", help='Such as "trainable=0.5%, memory=8GiB, time=30min".')
    ] = "",
    epochs: Annotated[
        float | None,
        typer.Option("--epochs", help="Passes over the data; 3.", show_default=False),
    ] = None,
    text: Text = None,
    label: Label = None,
    task: Task = None,
    batch: options.Batch = 16,
    window: options.Window = None,
    limit: options.Limit = None,
    device: options.Device = None,
    base: Annotated[
        str, typer.Option("--base", help="Frozen weights: auto, fp32, bf16, 8bit or 4bit.")
    ] = "auto",
    graded: Annotated[
        Path | None,
        typer.Option(
            "--ledger",
            help="Runs, or a file of 'plan ledger --out', whose errors give the intervals; runs/ "
            "when left out.",
            show_default=False,
        ),
    ] = None,
    report: options.Report = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict what fine-tuning MODEL on DATA by one method costs; nothing is trained.

    Where MODEL has weights, a few steps are timed, once. Exits with 3 where the budget is not met.
    """
    import tempfile
    from dataclasses import asdict

    from parsimony.adapt.forecast import forecast
    from parsimony.adapt.workflow import Request
    from parsimony.cli.main import emit
    from parsimony.core import ledger
    from parsimony.core.budget import Budget
    from parsimony.core.console import Console
    from parsimony.core.footprint import Footprint
    from parsimony.plan.pages import finetuning

    past = _past(graded)
    request = Request(
        model=model, data=data, budget=Budget.parse(budget), text=text, label=label, task=task,
        methods=(method,), epochs=epochs, batch=batch, window=window, limit=limit, device=device,
        base=base, seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        found = forecast(request, size, Path(scratch), Console(quiet))
    costs = found.footprint.as_dict()
    entries = ledger.compare(
        found.candidate, found.footprint, Footprint(), verb="adapt", method=found.method
    )
    intervals = {
        entry.quantity: ledger.interval(entry, [graded for _, graded in past]) for entry in entries
    }
    held = {entry.quantity: ledger.coverage(entry, past) for entry in entries}
    if report is not None:
        page = finetuning.page(
            f"{model} on {data}", found.candidate, found.memory, entries, intervals,
            request.budget.memory,
        )  # fmt: skip
        options.save_report(page, report, Console(quiet))
    if json:
        figures = {
            entry.quantity: {
                "unit": entry.unit, **costs[entry.quantity], **asdict(intervals[entry.quantity]),
                "coverage": held[entry.quantity],
            }
            for entry in entries
        }  # fmt: skip
        emit({**asdict(found), "footprint": figures, "level": ledger.LEVEL})
        return
    table(
        ["quantity", "predicted", "low", "high", "held", "how", "interval by, or why none"],
        [
            [entry.quantity, value(entry.predicted, entry.unit), _end(intervals, entry, "low"),
             _end(intervals, entry, "high"), share(held[entry.quantity]), entry.provenance or "-",
             intervals[entry.quantity].basis]
            for entry in entries
        ],
        title=_title(found, ledger.LEVEL),
        heading=not quiet,
        numbers=range(1, 5),
    )  # fmt: skip


def _past(graded: Path | None) -> list[tuple[str, Entry]]:
    """Graded predictions of ``--ledger``; without it those below runs/, if there are any."""
    from parsimony.core import ledger

    place = graded or Path("runs")
    if graded is None and not any(place.rglob(ledger.FILE)):
        return []
    return ledger.read(place)


def _end(intervals: dict[str, Any], entry: Entry, end: str) -> str:
    number = getattr(intervals[entry.quantity], end)
    return "-" if number is None else value(number, entry.unit)


def _title(found: Forecast, level: float) -> str:
    from parsimony.core import units

    part = units.format_share((found.footprint.trainable.value or 0.0) / found.base_parameters)
    return (
        f"{found.candidate}: {part} of {units.format_count(found.base_parameters)} parameters "
        f"train, {found.steps} steps of {found.batch} rows, window {found.window}, on "
        f"{found.device}; {level:.0%} intervals from past errors"
    )
