"""``parsimony adapt MODEL DATA``: choose and train an adapter within a budget, with evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.adapt.workflow import Request
    from parsimony.core.console import Console

Text = Annotated[
    str | None,
    typer.Option(
        "--text", help="Text column, two with a comma, or the column of sounds.", show_default=False
    ),
]
Label = Annotated[str | None, typer.Option("--label", help="Label column.", show_default=False)]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="text-classification, text-pair-classification, regression, causal-lm, instruction, "
        "code or audio-classification.",
        show_default=False,
    ),
]


def _number(flag: str, text: str) -> Any:
    return typer.Option(flag, help=text, show_default=False)


def command(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Built-in name, folder, or hub name 'owner/name'.")
    ] = "minilm",
    data: Annotated[
        str, typer.Argument(help="Table, folder, built-in name, or hub name 'owner/name'.")
    ] = "stdlib-docs",
    budget: Annotated[
        str, typer.Option("--budget", help='Such as "trainable=0.5%, memory=8GiB, time=30min".')
    ] = "trainable=1%",
    text: Text = None,
    label: Label = None,
    task: Task = None,
    methods: Annotated[
        str | None, typer.Option("--methods", help="Only these, with commas.", show_default=False)
    ] = None,
    epochs: Annotated[
        float | None, _number("--epochs", "Passes over the data of a full training.")
    ] = None,
    configurations: Annotated[
        int | None, _number("--configurations", "Configurations drawn per method.")
    ] = None,
    finalists: Annotated[
        int | None, _number("--finalists", "Methods in the final comparison.")
    ] = None,
    seeds: Annotated[int | None, _number("--seeds", "Seeds of the finals, 3 or more.")] = None,
    batch: options.Batch = 16,
    window: options.Window = None,
    limit: options.Limit = None,
    answers: Annotated[
        int, typer.Option("--answers", help="Held-out rows that finalists answer, task code.")
    ] = 64,
    new_tokens: Annotated[
        int, typer.Option("--new-tokens", help="Longest answer in tokens, task code.")
    ] = 128,
    device: options.Device = None,
    workers: Annotated[int | None, _number("--workers", "Trainings side by side.")] = None,
    base: Annotated[
        str, typer.Option("--base", help="Frozen weights: auto, fp32, bf16, 8bit or 4bit.")
    ] = "auto",
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--checkpointing/--no-checkpointing",
            help="Compute activations again instead of keeping them; where needed.",
            show_default=False,
        ),
    ] = None,
    accumulation: Annotated[
        int | None, _number("--accumulation", "Parts of a step's rows; where needed.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="local or ray.")] = "local",
    address: Annotated[
        str | None,
        typer.Option("--address", help="Of a running Ray cluster.", show_default=False),
    ] = None,
    resume: options.Resume = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose method, size and learning rate for MODEL on DATA, and train the adapter."""
    from parsimony.adapt import workflow
    from parsimony.cli.main import emit
    from parsimony.core import devices
    from parsimony.core.budget import Budget
    from parsimony.core.console import Console
    from parsimony.core.run import new_folder

    console = Console(quiet)
    if resume is not None:
        options.refuse_changes(context)
    request = workflow.Request(
        model=model,
        data=data,
        budget=Budget.parse(budget),
        text=text,
        label=label,
        task=task,
        methods=tuple(sorted({name.strip() for name in (methods or "").split(",")} - {""})),
        epochs=epochs,
        configurations=configurations,
        finalists=finalists,
        seeds=seeds,
        batch=batch,
        window=window,
        limit=limit,
        answers=answers,
        new_tokens=new_tokens,
        device=device,
        workers=workers,
        base=base,
        checkpointing=checkpointing,
        accumulation=accumulation,
        engine=engine,
        address=address,
        processes=devices.count(),
        seed=seed,
    )
    if dry_run:
        _preview(request, console, json)
        return
    folder = resume or out or new_folder(Path("runs"), f"{Path(model).name}-{Path(data).stem}")
    result = _run(request, folder, resume is not None, console)
    if json:
        emit({"run": str(folder), **result})
    else:
        _show(folder, result)


def _run(request: Request, folder: Path, resume: bool, console: Console) -> dict[str, Any]:
    from parsimony import report
    from parsimony.adapt import workflow
    from parsimony.cli.main import resumable
    from parsimony.core import devices
    from parsimony.core.run import Run

    with resumable(folder, workflow.resume_command(folder, devices.count())):
        if resume:
            result = workflow.resume(folder, console)
        else:
            result = workflow.adapt(request, folder, console)
        run = Run(folder)
        if not run.complete:
            report.write(folder)
            workflow.finish(run)
    return result


def _preview(request: Request, console: Console, json: bool) -> None:
    import tempfile

    from parsimony.adapt import workflow
    from parsimony.cli.main import emit
    from parsimony.core import units

    with tempfile.TemporaryDirectory() as scratch:
        found = workflow.preview(request, Path(scratch), console)
    if json:
        emit(found)
        return
    table(
        ["candidate", "trainable", "stored", "peak memory", "time of one training"],
        [
            [c["candidate"], units.format_count(c["trainable"]),
             units.format_bytes(c["stored_bytes"]), units.format_bytes(c["peak_memory"]),
             _seconds(c["seconds"])]
            for c in found["candidates"]
        ],
        title="What fits, with its predicted cost",
        numbers=range(1, 5),
    )  # fmt: skip
    for drop in found["dropped"]:
        print(f"Dropped {drop['method']}: {drop['reason']}")
    print(
        f"{found['configurations']} configurations, {found['steps']} steps, "
        f"{found['seeds']} seeds: predicted {_seconds(found['predicted_seconds'])}"
    )


def _seconds(value: float | None) -> str:
    """A time, or that there are no weights to time."""
    from parsimony.core import units

    return "unknown without weights" if value is None else units.format_seconds(value)


def _show_beside(rows: list[dict[str, Any]], place: int, name: str) -> None:
    """A metric that does not rank, with what it says of the differences to the best."""

    def score(value: float) -> str:
        return f"{100 * value:.1f} %"

    found = []
    for row in rows:
        beside = row["beside"][place]
        ends, gap = beside["score"], beside["difference"]
        same = gap and gap["low"] <= 0 <= gap["high"]
        told = f"{100 * gap['estimate']:+.1f} points" if gap else "the best by the metric above"
        cells = [score(ends[key]) for key in ("estimate", "low", "high")]
        found.append([row["candidate"], *cells, "no difference found" if same else told])
    table(
        ["candidate", "test", "low", "high", "difference to the best"], found,
        title=f"Test {name}", numbers=range(1, 4),
    )  # fmt: skip


def _show(folder: Path, result: dict[str, Any]) -> None:
    import shlex

    from parsimony.cli.tables import table
    from parsimony.core import units
    from parsimony.core.pretrained import NEXT_TOKEN

    share = result["metric"]["unit"] == "share"

    def number(value: float) -> str:
        return f"{100 * value:.1f} %" if share else f"{value:.4g}"

    rows = result["leaderboard"]
    table(
        ["candidate", "test", "low", "high", "trainable", "verdict"],
        [
            [row["candidate"], number(row["score"]["estimate"]), number(row["score"]["low"]),
             number(row["score"]["high"]), units.format_count(row["trainable"]), row["verdict"]]
            for row in rows
        ],
        title=f"Test {result['metric']['name']}, 95 % intervals over seeds and rows",
        numbers=range(1, 5),
    )  # fmt: skip
    for place, beside in enumerate(rows[0].get("beside", ())):
        _show_beside(rows, place, beside["name"])
    print(result["recommendation"]["sentence"])
    if result["baseline"]:
        print(result["baseline"]["sentence"])
    print(f"Report:  {folder / 'report.html'}")
    if result["data"]["task"] in NEXT_TOKEN:
        print("Use it:  the report shows how to load it")
    else:
        print(f"Use it:  parsimony predict {shlex.quote(str(folder))} FILE")
