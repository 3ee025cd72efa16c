"""``parsimony merge``: fold a run's adapter into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    run: Annotated[Path, typer.Argument(help="Run folder of 'parsimony adapt'.")],
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the base model with the adapter folded in (RUN/merged, or --out)."""
    from parsimony.adapt import merging
    from parsimony.adapt.loading import load_run
    from parsimony.cli.main import emit
    from parsimony.core.console import Console

    target = out or run / "merged"
    measured = merging.merge(load_run(run), run, target)
    if json:
        emit({"model": str(target), **measured})
        return
    Console(quiet).say(f"Merged model written to {target}")
    changed = measured["changed_predictions"]
    print(
        f"On {measured['rows']} test rows the largest change of an output is "
        f"{measured['largest_change']:.3g}"
        + ("" if changed is None else f"; {changed} predictions changed")
    )
