"""``parsimony plan curves``: Kaplan's six constants from training curves, and losses from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.plan.fit import About, Columns, Where
from parsimony.cli.tables import table as show


def command(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Training curves, one row a point: run, N (parameters without embeddings), B "
            "(tokens per step), S (steps so far), loss.",
        ),
    ],
    warm_up: Annotated[
        float, typer.Option("--warm-up", help="Points of the first so many steps are left out.")
    ],
    converged: Annotated[
        Path | None,
        typer.Option(
            "--converged",
            help="Table of N and loss of runs trained until the loss was flat; the ends of the "
            "curves when left out.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        Path | None,
        typer.Option("--at", help="Table of N, S and B to tell the loss of.", show_default=False),
    ] = None,
    columns: Columns = "",
    where: Where = "",
    bootstraps: Annotated[int, typer.Option("--bootstraps", help="Resamples of runs.")] = 200,
    setting: About = "",
    out: options.Out = None,
    report: options.Report = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit size, batch and step constants one law at a time, with bands from resampled runs.

    --out writes the losses of --at as CSV.
    """
    from parsimony.cli.main import emit
    from parsimony.core import artifacts
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.core.fitting import Provenance
    from parsimony.core.fitting.columns import positive
    from parsimony.plan import tables
    from parsimony.plan.laws.kaplan.procedure import fit_kaplan
    from parsimony.plan.pages import curves as pages

    if out is not None and at is None:
        raise InputError("--out writes the losses of --at, which is missing", got=str(out))
    asked = None if at is None else positive(tables.read(at), ("N", "S", "B"), str(at))
    found = fit_kaplan(
        tables.read(data, columns, where), None if converged is None else tables.read(converged),
        warm_up=warm_up, bootstraps=bootstraps, seed=seed, file=str(data),
        provenance=Provenance.of(tables.pairs(setting, "--setting")),
    )  # fmt: skip
    constants = found.report()
    told = None if asked is None else found.loss(asked["N"], asked["S"], asked["B"])
    if out is not None and told is not None:
        artifacts.write_text(out, told.to_csv(index=False))
        Console(quiet).say(f"{len(told)} rows written to {out}")
    if report is not None:
        options.save_report(pages.page(found, told, data.name), report, Console(quiet))
    if json:
        emit(
            {
                "constants": constants.to_dict("index"),
                "batches": found.batches.to_dict("records"),
                "error": found.error,
                "provenance": found.provenance.as_dict(),
                "losses": [] if told is None else told.to_dict("records"),
            }
        )
        return
    show(
        ["constant", "value", "low", "high"],
        [[name, *(f"{v:.5g}" for v in row)] for name, *row in constants.itertuples()],
        title=f"95 % of {bootstraps} resamples; mean error {100 * found.error:.2g} %",
        numbers=range(1, 4),
    )
    if told is not None:
        show(
            ["N", "S", "B", "loss", "low", "high"],
            [[f"{value:.5g}" for value in row] for _, *row in told.itertuples()],
            numbers=range(6),
        )
