"""``parsimony compress MODEL``: smaller, with what it cost measured before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.compress.workflow import Request
    from parsimony.core.console import Console


def _text(flag: str, text: str) -> Any:
    return typer.Option(flag, help=text, show_default=False)


def command(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Built-in name, folder, or hub name 'owner/name'.")
    ] = "stdlib-lm",
    calibration: Annotated[
        str,
        typer.Option("--calibration", help="Texts to calibrate and measure on: table or built-in."),
    ] = "stdlib-code",
    budget: Annotated[
        str, typer.Option("--budget", help='Such as "size=30%, memory=8GiB, trainable=0.35%".')
    ] = "",
    prune: Annotated[
        str | None, _text("--prune", "METHOD:SHARE or METHOD:N:M, such as wanda:2:4.")
    ] = None,
    reconstruct: Annotated[
        int, typer.Option("--reconstruct", help="Iterations to mend every block by, once pruned.")
    ] = 0,
    retrain: Annotated[
        str | None, _text("--retrain", "What trains after pruning, such as biases+norms+masklora.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", help="Of the retraining; 0: blocks alone.")
    ] = 200,
    rate: Annotated[float, typer.Option("--rate", help="Its peak learning rate.")] = 1e-3,
    quantize: Annotated[
        str | None, _text("--quantize", "[TRANSFORM+]METHOD:GRID, such as gptq:w4g128 or nf4.")
    ] = None,
    evaluate: Annotated[
        str | None, _text("--evaluate", "FILE.py:FUNCTION: from a model to a score per row.")
    ] = None,
    text: Annotated[str | None, _text("--text", "Text column of the calibration.")] = None,
    samples: Annotated[int, typer.Option("--samples", help="Windows to calibrate with.")] = 128,
    window: options.Window = None,
    batch: Annotated[int, typer.Option("--batch", help="Windows at a time.")] = 8,
    resume: options.Resume = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make MODEL smaller, and say what that costs; the result loads in plain transformers."""
    from parsimony.cli.main import emit
    from parsimony.compress import workflow
    from parsimony.core.budget import Budget
    from parsimony.core.console import Console
    from parsimony.core.run import new_folder

    console = Console(quiet)
    if resume is not None:
        options.refuse_changes(context)
    request = workflow.Request(
        model=model,
        calibration=calibration,
        text=text,
        prune=prune,
        reconstruct=reconstruct,
        retrain=retrain,
        steps=steps,
        rate=rate,
        quantize=quantize,
        budget=Budget.parse(budget),
        evaluate=evaluate,
        samples=samples,
        window=window,
        batch=batch,
        seed=seed,
    )
    if dry_run:
        _preview(request, console, json)
        return
    folder = resume or out or new_folder(Path("runs"), f"{Path(model).name}-compressed")
    result = _run(request, folder, resume is not None, console)
    if json:
        emit({"run": str(folder), **result})
    else:
        _show(folder, result)


def _run(request: Request, folder: Path, resume: bool, console: Console) -> dict[str, Any]:
    from parsimony import report
    from parsimony.cli.main import resumable
    from parsimony.compress import workflow
    from parsimony.core.run import Run

    with resumable(folder, workflow.resume_command(folder)):
        if resume:
            result = workflow.resume(folder, console)
        else:
            result = workflow.compress(request, folder, console)
        run = Run(folder)
        if not run.complete:
            report.write(folder)
            run.finish()
    return result


def _preview(request: Request, console: Console, json: bool) -> None:
    from parsimony.cli.main import emit
    from parsimony.compress import workflow
    from parsimony.core import units

    found = workflow.preview(request, console)
    if json:
        emit(found)
        return
    print(f"{found['model']}: {units.format_bytes(found['stored_bytes'])} stored")
    for spec, size in found["sizes"].items():
        share = size / found["stored_bytes"]
        print(f"{spec}: {units.format_bytes(size)} predicted, {share:.1%} of it")
    if "peak_memory" in found:
        print(f"calibration: {units.format_bytes(found['peak_memory'])} predicted at the peak")


def _show(folder: Path, result: dict[str, Any]) -> None:
    from parsimony.core import units

    rows = []
    for step in result["steps"]:
        gap = step.get("difference")
        rows.append([
            step["step"],
            f"{step['interval']['estimate']:.4g}",
            *([f"{step['perplexity']:.4g}"] if "perplexity" in step else []),
            f"{gap['estimate']:+.4g} ({gap['low']:+.4g} to {gap['high']:+.4g})" if gap else "",
            step.get("verdict", ""),
        ])  # fmt: skip
    told = ["perplexity"] if "perplexity" in result["steps"][0] else []
    columns = ["step", result["metric"]["name"], *told, "difference", "verdict"]
    title = "Held-out windows, 95 % intervals of paired differences to the original"
    table(columns, rows, title=title, numbers=range(1, len(columns) - 1))
    size, memory, speed = result["bytes"], result["memory"], result["speed"]
    print(
        f"Size:    {units.format_bytes(size['compressed'])}, {size['share']:.1%} of "
        f"{units.format_bytes(size['original'])} (tensors on disk)"
    )
    print(
        f"Memory:  {units.format_bytes(memory['compressed'])} once transformers has loaded it, the "
        f"original {units.format_bytes(memory['original'])}"
    )
    print(
        f"Speed:   {speed['ratio']:.2f}x the original's ({speed['low']:.2f} to "
        f"{speed['high']:.2f}), {speed['verdict']}"
    )
    for note in result["notes"]:
        print(f"Note:    {note}")
    print(f"Report:  {folder / 'report.html'}")
    print(f"Use it:  transformers loads {folder / result['artifact']}")
