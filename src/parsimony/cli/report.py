"""`parsimony report`: build the page of a run again, from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli.options import Json, Out, Quiet


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the report of a run as one HTML page that needs no network."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.report import write

    page = write(run, out)
    Console(quiet).say(f"report: {page.stat().st_size / 1000:,.0f} kB, opens in any browser")
    if as_json:
        emit({"report": str(page), "bytes": page.stat().st_size})
    else:
        print(page)
