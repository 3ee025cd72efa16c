"""``parsimony plan energy-study``: does one way of training really save energy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.plan.energy_study.design import Design


def command(
    config: Annotated[
        Path | None, typer.Argument(help="The study, in YAML.", show_default=False)
    ] = None,
    resume: options.Resume = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Meter the arms of CONFIG in random order, and test whether any of them saves anything."""
    import sys

    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError, require
    from parsimony.core.run import new_folder

    require("scipy", "plan")
    from parsimony.plan.energy_study import study as studies
    from parsimony.plan.energy_study.config import read
    from parsimony.plan.energy_study.design import design

    if (config is None) == (resume is None):
        raise InputError(
            "a study needs either its CONFIG or --resume with its folder",
            hint="A resumed study keeps its settings",
        )
    if resume is not None:
        folder, result = resume, studies.resume(resume, Console(quiet))
    else:
        assert config is not None
        study = read(config)
        if dry_run:
            _preview(design(study, seed), json)
            return
        sys.path.insert(0, str(config.resolve().parent))  # its functions lie beside it
        folder = out or new_folder(Path("runs"), config.stem)
        result = studies.start(study, folder, seed, Console(quiet))
    if json:
        emit({"run": str(folder), **result})
    else:
        _show(folder, result, quiet)


def _preview(plan: Design, json: bool) -> None:
    from dataclasses import asdict

    from parsimony.cli.main import emit

    if json:
        emit(asdict(plan))
        return
    tests = "1 test" if plan.tests == 1 else f"{plan.tests} tests"
    print(
        f"{plan.runs} runs of each arm, {tests} at {plan.alpha:.4g} or more (Holm). "
        f"Power {plan.power:.3f} for the effect asked for; with the power asked for they see "
        f"{plan.detectable:.3g} standard deviations of a pair's difference"
    )
    blocks: dict[int, list[str]] = {}
    for slot in plan.order:
        blocks.setdefault(slot.block, []).append(slot.arm)
    table(["block", "order"], [[str(b), ", ".join(arms)] for b, arms in blocks.items()])


def _show(folder: Path, result: dict[str, Any], quiet: bool) -> None:
    columns = {
        "joules": "J",
        "net_joules": "J net of idle",
        "seconds": "s",
        "kilograms": "kg CO2e",
        "accuracy": "accuracy",
    }
    table(
        ["arm", "runs", *columns.values()],
        [
            [arm["name"], str(arm["runs"]), *(_cell(arm[key]) for key in columns)]
            for arm in result["arms"]
        ],
        title=_title(result["qualities"]),
        heading=not quiet,
        numbers=range(1, 7),
    )
    for line in (*result["lines"], *(f"no test: {text}" for text in result["untested"])):
        print(line)
    for warning in result["warnings"]:
        print(f"Warning: {warning}")
    given = result["grams_per_kwh"]
    print(f"Carbon at {given['value']:g} g/kWh ({given['source']}). Everything is in {folder}")


def _title(qualities: list[str]) -> str:
    known = [quality for quality in qualities if quality != "none"]
    return f"Means of one run; energy is {' and '.join(known) or 'not known'}, idle included"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
