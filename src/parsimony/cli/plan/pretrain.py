"""``parsimony plan pretrain``: what to train, on how much, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show


def command(
    compute: Annotated[
        float | None,
        typer.Option("--compute", help="FLOPs of the training, 6 N D.", show_default=False),
    ] = None,
    params: Annotated[
        float | None,
        typer.Option("--params", help="N, with --tokens, not --compute.", show_default=False),
    ] = None,
    tokens: Annotated[
        float | None, typer.Option("--tokens", help="D, with --params.", show_default=False)
    ] = None,
    fitted: Annotated[
        Path | None,
        typer.Option(
            "--fit",
            help="A Chinchilla law of your own, from 'plan fit'.",
            show_default=False,
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule",
            help="Of the learning rate: cosine-fixed (ends at 1e-5), cosine-fraction, wsd, "
            "constant or other.",
        ),
    ] = "cosine-fixed",
    sequence: Annotated[int, typer.Option("--sequence", help="Tokens of a sequence.")] = 2048,
    beyond: Annotated[
        bool,
        typer.Option("--beyond", help="Answer beyond the law's reach, with a wider band."),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Size, tokens, learning rate, batch size and loss, each with its interval and its law."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.fitting import Fit
    from parsimony.plan.laws import laws
    from parsimony.plan.pretraining import plan_pretraining

    found, notes = plan_pretraining(
        compute=compute, params=params, tokens=tokens,
        fitted=None if fitted is None else Fit.load(fitted, laws()),
        schedule=schedule, sequence=sequence, beyond=beyond,
    )  # fmt: skip
    if json:
        emit({"plan": found.to_dict("index"), "notes": list(notes)})
        return
    show(
        ["quantity", "value", "low", "high", "law"],
        [[str(name), *(f"{v:.4g}" for v in row[:3]), row[3]] for name, *row in found.itertuples()],
        title="95 % intervals",
        numbers=range(1, 4),
    )
    for note in notes:
        Console(quiet).say(f"Note: {note}")
