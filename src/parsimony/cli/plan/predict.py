"""``parsimony plan predict``: what a fitted law says of other runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.plan.fit import About, Columns, Where
from parsimony.cli.tables import table as show


def command(
    fitted: Annotated[Path, typer.Argument(metavar="FIT", help="File of 'parsimony plan fit'.")],
    data: Annotated[Path, typer.Argument(metavar="TABLE", help="Runs to predict, one row each.")],
    columns: Columns = "",
    where: Where = "",
    setting: About = "",
    beyond: options.Beyond = False,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict every row of TABLE, with the band that should hold 95 % of new runs."""
    from parsimony.cli.main import emit
    from parsimony.core import artifacts
    from parsimony.core.console import Console
    from parsimony.core.fitting import Fit, Provenance
    from parsimony.plan import laws, tables

    found = Fit.load(fitted, laws.laws())
    provenance = Provenance.of(tables.pairs(setting, "--setting"))
    runs = tables.read(data, columns, where)
    told = found.predict(runs, provenance=provenance, beyond=beyond, file=str(data))
    if out is not None:
        artifacts.write_text(out, told.to_csv())
        Console(quiet).say(f"{len(told)} rows written to {out}")
    if json:
        emit({"law": found.law.name, "target": found.law.target,
              "predictions": told.reset_index().to_dict("records")})  # fmt: skip
        return
    show(
        ["row", *found.law.columns, found.law.target, "low", "high", "times outside the fit"],
        [[str(row), *(f"{value:.5g}" for value in cells)] for row, *cells in told.itertuples()],
        title=f"{found.law.formula}; the band should hold 95 % of new runs",
        numbers=range(len(told.columns) + 1),
    )
