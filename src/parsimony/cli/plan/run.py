"""``parsimony plan run``: a plan's layout run for real, measured, and graded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from parsimony.cli import options


def command(
    context: typer.Context,
    plan: Annotated[
        Path | None,
        typer.Argument(
            help="A plan of 'plan cluster --out'; with --resume, another layout to go on with.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Steps to train.")] = 10,
    data: Annotated[
        str, typer.Option("--data", help="stdlib-code (its bytes) or random tokens.")
    ] = "stdlib-code",
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            help="gpipe, 1f1b or zero-bubble; the plan's when left out. 1f1b on chunks is "
            "interleaved.",
            show_default=False,
        ),
    ] = None,
    optimizer: Annotated[str, typer.Option("--optimizer", help="adamw or sgd.")] = "adamw",
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="Constant learning rate.")
    ] = 1e-3,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, or bf16 with weights in 32 bits.")
    ] = "fp32",
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="gloo (CPU) or nccl (CUDA); what the machine has when left out.",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", help="Steps between checkpoints.")
    ] = 10,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds that a process waits for the others.")
    ] = 300.0,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where they meet; 0 for any free port.")
    ] = 0,
    resume: options.Resume = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train PLAN's model in PLAN's layout, one process for each device, by torchrun.

    Writes what was measured beside what was predicted, and a cluster.yaml for 'plan cluster'.
    """
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError, require
    from parsimony.core.run import new_folder

    require("torch", "adapt")
    require("pandas", "plan")
    from parsimony.plan.cluster import plan_file
    from parsimony.plan.running import workflow

    given = options.given(context)
    if plan is None and resume is None:
        raise InputError("a run needs a PLAN, or --resume with its folder")
    found = None if plan is None else plan_file.read(plan)
    if resume is not None:
        free = {"plan", "resume", "port", "json", "quiet"}
        fixed = sorted(option for name, option in given.items() if name not in free)
        if fixed:
            raise InputError("a resumed run keeps its settings", got=fixed[0])
        folder, result = resume, workflow.resume(resume, found, Console(quiet), port)
    else:
        assert found is not None and plan is not None
        settings = workflow.Settings(
            steps, data, schedule, optimizer, learning_rate, precision, backend,
            checkpoint_every, timeout, seed,
        )  # fmt: skip
        if dry_run:
            settled = workflow.settle(found, settings)
            _preview(
                workflow.predicted(found, precision).as_dict(), found.layout.devices, settled, json
            )
            return
        folder = out or new_folder(Path("runs"), plan.stem)
        result = workflow.start(found, settings, folder, set(given), Console(quiet), port)
    if json:
        emit({"run": str(folder), **result})
    else:
        _show(folder, result)


def _preview(prediction: dict[str, Any], processes: int, settings: Any, json: bool) -> None:
    from dataclasses import asdict

    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.plan.running.launch import processes_of

    if json:
        emit({"processes": processes, "settings": asdict(settings), "prediction": prediction})
        return
    print(
        f"{processes_of(processes)} on {settings.backend}, {settings.steps} steps, each predicted "
        f"to take {units.format_seconds(prediction['seconds']['value'])} and "
        f"{units.format_bytes(prediction['peak_memory']['value'])} on the heaviest device"
    )


def _show(folder: Path, result: dict[str, Any]) -> None:
    from parsimony.core import units

    seconds = units.format_seconds
    losses = result["losses"]
    print(f"{result['layout']}: loss {losses[0]:.4f} to {losses[-1]:.4f} in {len(losses)} steps")
    print(
        f"A step took {seconds(result['seconds']['value'])}, {result['tokens_per_second']:.4g} "
        f"tokens/s; predicted {seconds(result['predicted_seconds'])}, with the measured figures "
        f"{seconds(result['seconds_with_measured_figures'])}"
    )
    print(
        f"Of it {seconds(result['compute_seconds'])} compute, "
        f"{seconds(result['optimizer_seconds'])} optimizer, the rest messages and waiting; "
        f"{result['efficiency']:.2%} of the peak while computing"
    )
    print(f"Plan again with: parsimony plan cluster MODEL {folder / 'cluster.yaml'}")
