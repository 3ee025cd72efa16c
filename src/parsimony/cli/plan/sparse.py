"""``parsimony plan sparse``: a pre-training that prunes: schedule, sizes, loss, savings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show

if TYPE_CHECKING:
    import pandas as pd


def command(
    sparsity: Annotated[
        float, typer.Option("--sparsity", help="Share of the prunable weights to remove: 0.8.")
    ],
    compute: Annotated[
        float | None,
        typer.Option(
            "--compute",
            help="FLOPs, 6 N_avg D; alone, sizes are the best for it.",
            show_default=False,
        ),
    ] = None,
    params: Annotated[
        float | None, typer.Option("--params", help="N before pruning.", show_default=False)
    ] = None,
    final: Annotated[
        float | None, typer.Option("--final", help="N after pruning.", show_default=False)
    ] = None,
    tokens: Annotated[float | None, typer.Option("--tokens", help="D.", show_default=False)] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Folder or hub name whose config gives --params and --unprunable.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        str, typer.Option("--count", help="N of --model: prunable weights, or total.")
    ] = "prunable",
    unprunable: Annotated[
        float, typer.Option("--unprunable", help="How many of N are never pruned.")
    ] = 0.0,
    start: Annotated[
        float | None,
        typer.Option(
            "--start",
            help="Share of the compute before the first pruning; 0.25 when left out.",
            show_default=False,
        ),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(
            "--end",
            help="Share of the compute before the last pruning; 0.75 when left out.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps",
            help="START,END,TOTAL as steps, not shares of the compute.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[int, typer.Option("--every", help="Steps between prunings.")] = 100,
    batch: Annotated[
        float | None,
        typer.Option(
            "--batch-tokens",
            help="Tokens of a step; the Step Law's when left out.",
            show_default=False,
        ),
    ] = None,
    fitted: Annotated[
        Path | None,
        typer.Option(
            "--fit", help="A Chinchilla law of N or N_avg, from 'plan fit'.", show_default=False
        ),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Show 80 schedules of the same size and compute.")
    ] = False,
    beyond: options.Beyond = False,
    report: options.Report = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Plan a pre-training that prunes while it trains, and compare it with dense ones."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.core.fitting import Fit
    from parsimony.plan import sparse_pretraining
    from parsimony.plan.laws import laws
    from parsimony.plan.pages import sparse

    told: list[str] = []
    if model is not None:
        if params is not None or final is not None or unprunable:
            raise InputError("--model gives the sizes: leave out --params, --final, --unprunable")
        params, unprunable, said = _counted(model, count)
        told.append(said)
    fit = None if fitted is None else Fit.load(fitted, laws())
    found = sparse_pretraining.plan_sparse(
        sparsity=sparsity, compute=compute, params=params, final=final, tokens=tokens,
        steps=None if steps is None else _steps(steps), unprunable=unprunable, start=start,
        end=end, every=every, batch=batch, fitted=fit, beyond=beyond,
    )  # fmt: skip
    swept = None
    if sweep:
        swept = sparse_pretraining.sweep(
            params=found.table.loc["params_before", "value"], dense_steps=found.schedule.compute,
            batch=found.batch, unprunable=unprunable, every=every, fitted=fit, beyond=beyond,
        )  # fmt: skip
    notes = [*told, *found.notes]
    if report is not None:
        options.save_report(sparse.page(found, swept, notes), report, Console(quiet))
    if json:
        emit(
            {
                "plan": found.table.to_dict("index"),
                "schedule": {**asdict(found.schedule), "prunings": found.schedule.prunings},
                "sweep": [] if swept is None else swept.to_dict("records"),
                "notes": notes,
            }
        )
        return
    if swept is None:
        show(
            ["quantity", "value", "from"],
            [
                [str(name), _shown(value), source]
                for name, value, source in found.table.itertuples()
            ],
            title=f"{found.schedule.prunings} prunings, every {every} steps",
            numbers=(1,),
        )
    else:
        _sweep(swept)
    for note in notes:
        Console(quiet).say(f"Note: {note}")


def _shown(value: float) -> str:
    return f"{value:.4g}" if value != int(value) or abs(value) >= 1e7 else f"{value:,.0f}"


def _sweep(rows: pd.DataFrame) -> None:
    show(
        ["sparsity", "start", "end", "steps", "N average", "N after", "tokens", "loss"],
        [
            [f"{row.sparsity:.0%}", f"{row.start:.1%}", f"{row.end:.1%}",
             f"{row.start_step}, {row.end_step}, {row.total_steps}", f"{row.params_average:.4g}",
             f"{row.params_after:.4g}", f"{row.tokens:.4g}", f"{row.loss:.4f}"]
            for row in rows.itertuples()
        ],
        title="Equal size and compute; the least predicted loss first",
        numbers=range(8),
    )  # fmt: skip


def _steps(text: str) -> tuple[int, int, int]:
    from parsimony.core.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise InputError("--steps takes START,END,TOTAL, such as 2500,12600,25050", got=text)
    first, last, total = map(int, parts)
    return first, last, total


def _counted(name: str, scope: str) -> tuple[float, float, str]:
    """N before pruning, its unprunable part, and what was counted."""
    from parsimony.core import cost, pretrained
    from parsimony.core.errors import InputError
    from parsimony.core.prunable import prunable

    if scope not in ("prunable", "total"):
        raise InputError("--count is prunable or total", got=scope)
    settings = pretrained.read_config(pretrained.find(name, weights=False))
    built = cost.on_meta(lambda: pretrained.build(settings, "causal-lm"))
    total, linear = cost.count(built)[0], sum(p.numel() for p in prunable(built).values())
    head = "; the output projection is the embedding and stays dense" if getattr(
        settings, "tie_word_embeddings", False
    ) else ""  # fmt: skip
    said = f"{name}: {linear:,} of {total:,} parameters are prunable{head}"
    return (linear, 0.0, said) if scope == "prunable" else (total, total - linear, said)
