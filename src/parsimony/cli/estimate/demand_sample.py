"""``parsimony estimate demand-sample``: a made-up table of monthly demand to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it goes, .csv or .parquet.")],
    skills: Annotated[int, typer.Option("--skills", help="Skills, a tenth of them rare.")] = 300,
    groups: Annotated[int, typer.Option("--groups", help="Regions that share them.")] = 7,
    months: Annotated[int, typer.Option("--months", help="From 2021-01; at least 12.")] = 36,
    layout: Annotated[
        str, typer.Option("--layout", help="wide (keys and months) or long (unique_id, ds, y).")
    ] = "wide",
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a table drawn from the seed: seasons, trends, breaks, rare skills."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.estimate.demand import table
    from parsimony.estimate.demand.generate import generate

    if layout not in ("wide", "long"):
        raise InputError("the layout must be wide or long", got=layout)
    drawn = generate(skills, groups, months, seed)
    table.write(drawn.table, file, layout)
    rare, broken = int(drawn.rare.sum()), int(drawn.broken.sum())
    if json:
        emit({"series": len(drawn.table.values), "months": months, "rare": rare, "broken": broken})
        return
    Console(quiet).say(
        f"{len(drawn.table.values):,} series of {months} months, {skills} skills in {groups} "
        f"regions, written to {file}: {rare} skills rare, {broken} with a break"
    )
