"""``parsimony compress diffusion-study``: what quantization does to a masked-diffusion model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table


def command(
    context: typer.Context,
    methods: Annotated[
        str | None, typer.Option("--methods", help="Only these, with commas.", show_default=False)
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option("--bits", help="Only these, such as w4g32,w4a4.", show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Of the pre-training.")] = 3000,
    samples: Annotated[int, typer.Option("--samples", help="Windows to calibrate with.")] = 128,
    puzzles: Annotated[int, typer.Option("--puzzles", help="Sudokus of held-out grids.")] = 108,
    resume: options.Resume = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train two small diffusion models, quantize them in every way, and fill the table."""
    from parsimony import report
    from parsimony.cli.main import emit, resumable
    from parsimony.core import pages
    from parsimony.core.console import Console
    from parsimony.core.run import Run, new_folder, provenance
    from parsimony.papers import diffusion_study as studies

    if resume is not None:
        options.refuse_changes(context)
        folder = Run.open(resume)
        settings = folder.settings
        lists = {name: tuple(settings[name]) for name in ("methods", "bits")}
        study = studies.Study(**{**settings, **lists})
    else:
        study = studies.Study(
            steps=steps,
            samples=samples,
            puzzles=puzzles,
            seed=seed,
            methods=_chosen("--methods", methods, tuple(studies.METHODS)),
            bits=_chosen("--bits", bits, (*studies.WEIGHTS, *studies.BOTH)),
        )
        home = out or new_folder(Path("runs"), "diffusion-study")
        folder = Run.create(home, provenance(study, studies.Study()), seed)
    command = f"parsimony compress diffusion-study --resume {shlex.quote(str(folder.folder))}"
    with folder.locked(), resumable(folder.folder, command):
        if folder.complete:
            result = folder.read("result.json")
        else:
            result = studies.run(study, folder, Console(quiet))
            folder.write("result.json", result)
            folder.write(pages.FILE, studies.page(result).model_dump(mode="json"))
            studies.write_headlines(folder.folder, result)
            report.write(folder.folder)
            folder.finish()
    if json:
        emit({"run": str(folder.folder), **result})
    else:
        _show(folder.folder, result)


def _chosen(option: str, given: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    from parsimony.core.errors import InputError, nearest

    if given is None:
        return known
    names = {name.strip() for name in given.split(",")}
    for name in sorted(names - set(known)):
        raise InputError(f"{option} knows other names", got=name, hint=nearest(name, known))
    return tuple(name for name in known if name in names)


def _show(folder: Path, result: dict[str, Any]) -> None:
    rows = []
    for row in result["table"]:
        gap = row["difference"]
        rows.append([
            row["model"], f"{row['method']}:{row['bits']}", row["task"], f"{row['score']:.4g}",
            f"{gap['estimate']:+.4g} ({gap['low']:+.4g} to {gap['high']:+.4g})",
            f"{row['drop']:.1%}", row["label"],
        ])  # fmt: skip
    table(
        ["model", "quantized", "task", "score", "difference", "drop", "in words"], rows,
        title="Bound in nats per byte (text) and share solved (sudoku); paired 95 % intervals",
        numbers=(3, 4, 5),
    )  # fmt: skip
    for name, value in result["full"].items():
        print(f"Full precision, {name}: {value:.4g}")
    print(f"Report:  {folder / 'report.html'}")
