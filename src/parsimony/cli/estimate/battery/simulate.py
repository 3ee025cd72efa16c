"""``parsimony estimate battery simulate``: a discharge curve from the solver, to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    k1: Annotated[float, typer.Option("--k1", help="Factor of the anode's exchange current.")],
    k2: Annotated[float, typer.Option("--k2", help="Factor of the cathode's diffusivity.")],
    out: Annotated[Path, typer.Option("--out", metavar="CSV", help="File to write.")],
    noise: Annotated[
        str, typer.Option("--noise", help="Standard deviation of normal noise such as 3mV.")
    ] = "0mV",
    points: Annotated[int, typer.Option("--points", min=3, help="Even in time.")] = 100,
    start: Annotated[float, typer.Option("--start", help="First second.")] = 10.0,
    kinetics: Annotated[str, typer.Option("--kinetics", help="linear or full.")] = "linear",
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write time and voltage of a 2C discharge of 1350 s as CSV."""
    from parsimony.cli.main import emit
    from parsimony.core import artifacts
    from parsimony.core.console import Console
    from parsimony.estimate.battery.cell import Cell
    from parsimony.estimate.battery.discharge import simulate
    from parsimony.estimate.battery.quantities import volts

    sigma = volts(noise, zero=True)
    curve = simulate((k1, k2), Cell(kinetics=kinetics), float(sigma), points, start, seed)
    artifacts.write_text(out, curve.csv())
    Console(quiet).say(f"{points} points written to {out}")
    if json:
        emit({"file": str(out), "k1": k1, "k2": k2, "noise_V": sigma, "points": points})
