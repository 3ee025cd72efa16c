"""``parsimony plan compare-laws``: which law predicts the largest runs best from the others."""

from __future__ import annotations

from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.plan.fit import Columns, Data, Run, Where
from parsimony.cli.tables import table as show


def command(
    data: Data,
    columns: Columns = "",
    where: Where = "",
    target: Annotated[str, typer.Option("--target", help="What the laws predict.")] = "loss",
    run: Run = None,
    bootstraps: Annotated[int, typer.Option("--bootstraps", help="Resamples of runs.")] = 200,
    report: options.Report = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit every law that the columns of DATA allow; the best on the held-out largest size first."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.plan import tables
    from parsimony.plan.comparison import compare
    from parsimony.plan.pages import comparing

    runs = tables.read(data, columns, where)
    console = Console(quiet)
    with console.phase("Fitting the laws", 1) as phase:
        found = compare(runs, target, run=run, bootstraps=bootstraps, seed=seed, file=str(data))
        phase.advance()
    if report is not None:
        page = comparing.page(found, target, len(runs), file=data.name)
        options.save_report(page, report, console)
    if json:
        kept = found.astype(object).where(found.notna(), None).reset_index()
        emit({"target": target, "laws": kept.to_dict("records")})
        return
    show(
        ["law", "constants", "error", "largest held out", "low", "high", "formula"],
        [
            [str(name), str(row["constants"]), _percent(row["error"]), _percent(row["held_out"]),
             _percent(row["low"]), _percent(row["high"]),
             row["formula"] if not row["failure"] else row["failure"]]
            for name, row in found.iterrows()
        ],
        title=f"Laws of {target} on {len(runs)} rows: mean relative errors",
        numbers=range(1, 6),
    )  # fmt: skip


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.3g} %"
