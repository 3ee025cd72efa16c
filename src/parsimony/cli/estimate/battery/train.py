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
    losses: Annotated[
        str, typer.Option("--losses", help="Weights: balanced, or the paper's.")
    ] = "balanced",
    hierarchy: Annotated[
        str,
        typer.Option(
            "--hierarchy",
            help="What is below: none, simple (properties), reference (point), time (a third).",
        ),
    ] = "none",
    network: Annotated[
        str, typer.Option("--network", help="merged, split or split-residual.")
    ] = "merged",
    kinetics: Annotated[str, typer.Option("--kinetics", help="linear or full.")] = "linear",
    adam: Annotated[int, typer.Option("--adam", min=0, help="Epochs of each level.")] = 20,
    lbfgs: Annotated[int, typer.Option("--lbfgs", min=0, help="Steps of each level.")] = 1000,
    resume: options.Resume = None,
    dry_run: options.DryRun = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a surrogate for 'estimate battery', minutes on one core, into the folder --out."""
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
            share=float(box), curves=data, conservation=conservation, losses=losses,
            hierarchy=hierarchy, network=network, kinetics=kinetics, adam=adam, lbfgs=lbfgs,
            seed=seed,
        )  # fmt: skip
        if dry_run:
            workflow.check(request)
            if json:
                emit(asdict(request))
            else:
                print(", ".join(f"{name} {value}" for name, value in asdict(request).items()))
            return
        folder = out or new_folder(Path("runs"), "battery-surrogate")
    with resumable(folder, workflow.resume_command(folder)):
        found = (
            workflow.build(request, folder, console)
            if resume is None
            else workflow.resume(folder, console)
        )
    if json:
        emit({"folder": str(folder), **found})
        return
    print(
        f"{folder}: on {found['unseen_curves']} curves that it has not seen its voltage is "
        f"{found['mean_error_mV']:.2f} mV off in the mean, {found['greatest_error_mV']:.2f} mV "
        "at most"
    )
