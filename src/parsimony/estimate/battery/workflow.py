"""``estimate battery train``: a surrogate in a run folder, measured against the solver.

The levels of the hierarchy are trained one after the other with checkpoints, the chain is saved in
``surrogate/``, its errors on curves that it never saw are in ``result.json``. A run that was killed
goes on and ends in the same bytes.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from parsimony.core import headlines, pages, trials
from parsimony.core.console import Console
from parsimony.core.errors import ArtifactError, InputError, nearest
from parsimony.core.headlines import Headline
from parsimony.core.run import Run, provenance
from parsimony.estimate.battery import network, simulated, training_page
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.hierarchy import Step, climb
from parsimony.estimate.battery.losses import PAPER, Losses
from parsimony.estimate.battery.training import Plan

HIERARCHIES = ("none", "simple", "reference", "time")
"""What is below the level that counts: nothing; the simple property set on the same box; the same
physics at the reference point; the same physics for the first third of the time."""
LOSSES = ("balanced", "paper")
"""Weights of ``losses.Losses`` and of ``losses.PAPER``."""


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        properties: full or simple.
        kinetics: linear or full.
        current: A, negative in discharge.
        share: of the box, 0 (the reference point alone) to 1.
        network: merged, split or split-residual.
        hierarchy: one of ``HIERARCHIES``.
        curves: simulated ones to learn from, a square number; 0 for the equations alone.
        losses: one of ``LOSSES``.
        conservation: whether conservation is a residual too; not with the paper's losses.
        adam: epochs of Adam, of each level.
        lbfgs: iterations of L-BFGS, of each level.
        interior: points of each of ten batches inside.
        boundary: points of each of ten batches at the boundaries.
        seed: every random choice derives from it.
    """

    properties: str = "full"
    kinetics: str = "linear"
    current: float = -0.0378
    share: float = 1.0
    network: str = "merged"
    hierarchy: str = "none"
    curves: int = 9
    losses: str = "balanced"
    conservation: bool = True
    adam: int = 20
    lbfgs: int = 1000
    interior: int = 64
    boundary: int = 32
    seed: int = 0


def check(request: Request) -> None:
    """Refuse, before a folder is made, what cannot be trained.

    Raises:
        InputError: a setting is at fault.
    """
    _steps(request, plain=True)


def build(request: Request, folder: Path, console: Console) -> dict[str, Any]:
    """Train a surrogate into a new run folder; returns ``result.json``.

    Raises:
        InputError: a setting is at fault, or a loss is not finite.
    """
    check(request)
    run = Run.create(folder, provenance(request, Request()), request.seed)
    with run.locked():
        return _carry_out(run, request, console)


def resume(folder: Path, console: Console) -> dict[str, Any]:
    """Go on with a run that was stopped; a complete one is only read.

    Raises:
        ArtifactError: not a run folder of this kind.
    """
    run = Run.open(folder)
    with run.locked():
        if run.complete:
            console.say(f"{folder} is complete; nothing to do")
            found: dict[str, Any] = run.read("result.json")
            return found
        if set(run.settings) != {field.name for field in fields(Request)}:
            raise ArtifactError(
                "this is no run of 'estimate battery train'", got=str(folder), hint="Check the path"
            )
        return _carry_out(run, Request(**run.settings), console)


def resume_command(folder: Path) -> str:
    """The command that goes on with a run."""
    return f"parsimony estimate battery train --resume {shlex.quote(str(folder))}"


def _carry_out(run: Run, request: Request, console: Console) -> dict[str, Any]:
    checkpoints = run.folder / "checkpoints"
    if not run.has("result.json"):  # written when all else is there
        steps = _steps(request)
        found = climb(steps, kind=request.network, folder=checkpoints, console=console)
        surrogate = found[-1].surrogate
        console.say("measuring it against the solver")
        errors = simulated.errors(surrogate)
        surrogate.save(run.folder / "surrogate")
        result = {
            "surrogate": "surrogate",
            "box": str(surrogate.box),
            "horizon_s": surrogate.horizon,
            "unseen_curves": len(errors.curve),
            "mean_error_mV": errors.mean,
            "worst_curve_mV": float(errors.curve.max()),
            "greatest_error_mV": errors.greatest,
            "levels": [
                {"adam_epochs": request.adam, "lbfgs_iterations": level.iterations,
                 "losses": level.losses}
                for level in found
            ],
        }  # fmt: skip
        about = f"{request.network} network, {surrogate.box}"
        headlines.write(run.folder, "estimate battery train", about, _headlines(errors))
        run.write(pages.FILE, training_page.page(result).model_dump(mode="json"))
        run.write("result.json", result)
    shutil.rmtree(checkpoints, ignore_errors=True)
    run.finish()
    result: dict[str, Any] = run.read("result.json")
    return result


def _headlines(errors: simulated.Errors) -> list[Headline]:
    """The error on curves it never saw, with an interval over them where there are several."""
    name, count = "mean error, unseen curves", len(errors.curve)
    if count > 1:
        mean = Headline.of(name, trials.bootstrap(errors.curve[None]).as_dict(), "mV")
    else:
        mean = Headline(name=name, value=errors.mean, unit="mV", reason="of one curve")
    worst = f"the most of {count} curves"
    return [
        mean,
        Headline(name="greatest error", value=errors.greatest, unit="mV", reason=worst),
    ]


def _steps(request: Request, plain: bool = False) -> list[Step]:
    """The levels, from the lowest up; ``plain`` leaves the data out."""
    for value, known, what in (
        (request.hierarchy, HIERARCHIES, "hierarchy"),
        (request.losses, LOSSES, "losses"),
        (request.network, network.NETWORKS, "network"),
    ):
        if value not in known:
            raise InputError(f"unknown {what}", got=value, hint=nearest(str(value), known))
    if request.losses == "paper":
        losses = PAPER
    else:
        losses = Losses() if request.conservation else Losses(conservation=0.0)
    cell = Cell(request.properties, request.kinetics, request.current)
    plan = Plan(
        adam=request.adam, lbfgs=request.lbfgs, interior=request.interior,
        boundary=request.boundary, seed=request.seed,
    )  # fmt: skip
    simulated.parameters(Box(), request.curves or 1)
    Box().shrunk(request.share)

    def step(cell: Cell, share: float, horizon: float) -> Step:
        data = None
        if request.curves and not plain:
            curves = request.curves if share else 1
            box = Box().shrunk(share)
            data = simulated.data(cell, box, horizon, curves, request.seed)
        return Step(cell, share, horizon, plan, losses, data)

    top = step(cell, request.share, HORIZON)
    if request.hierarchy == "simple":
        return [step(Cell("simple", current=request.current), request.share, HORIZON), top]
    if request.hierarchy == "reference":
        return [step(cell, 0.0, HORIZON), top]
    if request.hierarchy == "time":
        return [step(cell, request.share, HORIZON / 3), top]
    return [top]
