"""``parsimony adapt methods``: the catalogue of methods, costed on a model."""

from __future__ import annotations

from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table


def command(
    model: Annotated[
        str, typer.Argument(help="Built-in name, folder, or hub name 'owner/name'.")
    ] = "minilm",
    fits: Annotated[
        str | None,
        typer.Option(
            "--fits",
            help='Only what keeps these, such as "memory=8GiB,mergeable,no-latency". Limits on '
            "memory and trainable; traits: mergeable, no-latency, several-adapters, "
            "mixed-batches, 8bit, 4bit, conv2d, embedding, gpt2-conv1d.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str, typer.Option("--task", help="What is learned; decides about the task head.")
    ] = "text-classification",
    batch: Annotated[int, typer.Option("--batch", help="Rows per step, for the memory.")] = 16,
    window: Annotated[int, typer.Option("--window", help="Tokens or frames per row.")] = 64,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Every method that the surveys name or that is here, with what it costs on MODEL.

    Counts come from wrapping the model, traits from trying each method on a tiny one.
    """
    from parsimony.adapt.catalogue import fitting
    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.core.console import Console
    from parsimony.core.data.taskdata import TASKS
    from parsimony.core.errors import InputError, nearest

    if task not in TASKS:
        raise InputError(f"unknown task '{task}'", hint=nearest(task, TASKS))
    rules = fitting.Rules.parse(fits or "")
    setup = fitting.setup_of(model, task, batch, window)
    rows = fitting.rows(setup, rules, Console(quiet))
    if json:
        emit({"model": model, "task": task, "batch": batch, "window": window,
              "methods": [row.as_dict() for row in rows]})  # fmt: skip
        return
    shown = [row for row in rows if not row.rejected]
    total, head = (rows[0].footprint.parameters.value or 0), (rows[0].footprint.head.value or 0)
    cells = []
    for row in shown:
        count, peak = row.footprint.trainable.value, row.footprint.peak_memory.value
        cells.append(
            [
                row.entry.name,
                "" if count is None else units.format_count(count),
                "" if count is None else units.format_share(count / total),
                *([] if rules.budget.memory is None else [units.format_bytes(peak or 0)]),
                row.title or row.entry.where,
                row.entry.formula,
                row.entry.comprehensive or row.entry.review,
            ]
        )
    names = ["method", "trainable", "share"]
    names += [] if rules.budget.memory is None else ["peak"]
    table(
        [*names, "counted as, or where it is", "formula", "class"],
        cells,
        title=f"On {model}, {units.format_count(total)} parameters; the trainable ones include the "
        f"task head's {units.format_count(head)}",
        numbers=range(1, len(names)),
    )
    for row in rows:
        available = row.entry.method or row.entry.peft
        if row.rejected and available:
            print(f"Rejected {row.entry.name}: {'; '.join(row.rejected)}")
        elif available and not row.footprint.trainable.known:
            print(f"Not counted {row.entry.name}: {row.footprint.trainable.note}")
    away = sum(bool(row.rejected) and not (row.entry.method or row.entry.peft) for row in rows)
    if away:
        print(f"Rejected {away} methods of the surveys that are not available here")
    if rules.budget.memory is not None:
        print(f"Peak: {fitting.PEAK_RULE}")
