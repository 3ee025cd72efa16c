"""``parsimony estimate battery train``: the surrogate, from the equations and a few curves."""

from __future__ import annotations

from typing import Annotated

import typer

from parsimony.cli import options


def command(
    context: typer.Context,
    out: options.Out = None,
    box: Annotated[
        bool,
        typer.Option("--box/--point", help="All of k1 and k2, or the reference point (0.5, 1)."),
    ] = True,
    data: Annotated[
        int,
        typer.Option(
            "--data", help="Simulated curves to learn from, a square number; 0 for none.", min=0
        ),
    ] = 9,
    conservation: Annotated[
        bool,
        typer.Option(
            "--conservation/--no-conservation",
            help="Hold the mean concentrations to what the current leaves.",
        ),
    ] = True,
    hierarchy: Annotated[
        str,
        typer.Option(
            "--hierarchy", help="none, point (reference, then box), simple (properties first)."
        ),
    ] = "none",
    network: Annotated[
        str, typer.Option("--network", help="merged, split or split-residual.")
    ] = "merged",
    kinetics: Annotated[str, typer.Option("--kinetics", help="linear or full.")] = "linear",
    adam: Annotated[int, typer.Option("--adam", min=0, help="Epochs of each level.")] = 60,
    lbfgs: Annotated[int, typer.Option("--lbfgs", min=0, help="Steps of each level.")] = 900,
    resume: options.Resume = None,
    dry_run: options.DryRun = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a surrogate for 'estimate battery', minutes on one core; --out is its folder."""
    from dataclasses import asdict
    from pathlib import Path

    from parsimony.cli.main import emit, resumable
    from parsimony.core.console import Console
    from parsimony.core.run import new_folder
    from parsimony.estimate.battery import workflow

    console = Console(quiet)
    if resume is not None:
        options.refuse_changes(context)
        folder = resume
    else:
        request = workflow.Request(
            share=float(box), data=data, conservation=conservation, hierarchy=hierarchy,
            network=network, kinetics=kinetics, adam=adam, lbfgs=lbfgs, seed=seed,
        )  # fmt: skip
        if dry_run:
            told = {**asdict(request), "levels": 1 + (hierarchy != "none")}
            if json:
                emit(told)
            else:
                print(", ".join(f"{name} {value}" for name, value in told.items()))
            return
        folder = out or new_folder(Path("runs"), "battery-surrogate")
    with resumable(folder, f"parsimony estimate battery train --resume {folder}"):
        found = (
            workflow.train(request, folder, console)
            if resume is None
            else workflow.resume(folder, console)
        )
    if json:
        emit({"folder": str(folder), **found})
        return
    print(
        f"{folder}: {1e3 * found['mean_V']:.2f} mV mean error of the voltage on curves that it has "
        f"not seen, {1e3 * found['max_V']:.2f} mV at most"
    )
