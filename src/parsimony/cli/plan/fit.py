"""``parsimony plan fit``: the constants of a law from a table of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Table of runs, one row each.")]
Columns = Annotated[
    str,
    typer.Option(
        "--columns", help="Where the law's columns are: N=params,D=tokens.", show_default=False
    ),
]
Where = Annotated[
    str, typer.Option("--where", help="Only rows with these values: corpus=c4.", show_default=False)
]
Run = Annotated[
    str | None,
    typer.Option("--run", help="Column that tells which rows are one run.", show_default=False),
]
LONG = ("draws", "residuals", "held_out_residuals")
"""What ``--json`` leaves to the file of ``--out``."""
About = Annotated[
    str,
    typer.Option(
        "--setting",
        help="Of the runs, kept with the constants: tokenizer=bytes,context=2048. Also schedule, "
        "batch_unit, size, data.",
        show_default=False,
    ),
]


def command(
    data: Data,
    law: Annotated[str, typer.Option("--law", help="Its name; a wrong one lists all.")],
    columns: Columns = "",
    where: Where = "",
    run: Run = None,
    grid: Annotated[
        int | None,
        typer.Option(
            "--grid",
            help="DATA is a grid over lr and bs, in sequences of this many tokens; fit the runs "
            "within 0.25 % of the best of each (N, D).",
            show_default=False,
        ),
    ] = None,
    above: Annotated[
        float, typer.Option("--above", help="Cost of predicting above a run, of below it.")
    ] = 1.0,
    bootstraps: Annotated[int, typer.Option("--bootstraps", help="Resamples of runs.")] = 1000,
    setting: About = "",
    out: options.Out = None,
    report: options.Report = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit LAW to DATA: constants with intervals, and how well it predicts the largest runs."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.fitting import Provenance, fit
    from parsimony.plan import laws, tables
    from parsimony.plan.laws.step_law import grid as grids
    from parsimony.plan.pages import fitting

    console = Console(quiet)
    chosen = laws.law(law)
    provenance = Provenance.of(tables.pairs(setting, "--setting"))
    runs, cells = tables.read(data, columns, where), {}
    if grid is not None:
        points = grids.read_grid(runs, grid, file=str(data))
        runs, run, cells = grids.nearly_best(points), "cell", grids.surfaces(points)
    found = fit(
        chosen, runs, run=run, above=above, bootstraps=bootstraps, seed=seed,
        provenance=provenance, file=str(data),
    )  # fmt: skip
    for note in found.notes:
        console.say(f"Note: {note}")
    if out is not None:
        found.save(out)
        console.say(f"Written to {out}")
    if report is not None:
        page = fitting.page(found, runs, cells, file=data.name)
        options.save_report(page, report, console)
    constants = found.report()
    if json:
        told = {k: v for k, v in found.as_dict().items() if k not in LONG}
        intervals = {
            name: {"low": low, "high": high}
            for name, low, high in constants[["low", "high"]].itertuples()
        }
        emit({**told, "intervals": intervals if found.separable else {}})
        return
    if found.separable:
        show(
            ["constant", "value", "low", "high"],
            [[name, *(f"{v:.5g}" for v in row[:3])] for name, *row in constants.itertuples()],
            title=f"{chosen.formula}, on {found.runs} runs; 95 % of {bootstraps} resamples",
            numbers=range(1, 4),
        )
    else:
        print(f"The constants of {chosen.formula} are not separable on these runs")
    largest = "" if found.held_out is None else (
        f", {100 * found.held_out:.2g} % on the largest {chosen.columns[0]} when fitted to the rest"
    )  # fmt: skip
    print(f"Mean error {100 * found.error:.2g} % on these runs{largest}")
