"""``parsimony export``: a run's adapter as LoRA, for servers that know only LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    run: Annotated[Path, typer.Argument(help="Run folder of 'parsimony adapt'.")],
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank", help="Of every layer; as high as it takes when left out.", show_default=False
        ),
    ] = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the adapter as LoRA (RUN/lora, or --out), and say what the conversion lost."""
    from parsimony.adapt.loading import load_run
    from parsimony.adapt.lora_export import export
    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.core.console import Console

    target = out or run / "lora"
    measured = export(load_run(run), run, target, rank)
    if json:
        emit({"adapter": str(target), **measured})
        return
    Console(quiet).say(f"LoRA adapter of rank {measured['rank']} written to {target}")
    print(
        f"On {measured['rows']} test rows: {measured['metric']} {measured['before']:.4g} before, "
        f"{measured['after']:.4g} after; the largest change of an output is "
        f"{measured['largest_change']:.3g}. Every update keeps at least {measured['kept']:.4%} of "
        f"its energy; {units.format_bytes(measured['bytes_after'])} on disk, was "
        f"{units.format_bytes(measured['bytes_before'])}"
    )
