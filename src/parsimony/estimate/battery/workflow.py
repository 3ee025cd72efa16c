"""From settings to a trained surrogate in a run folder that a kill does not lose.

The folder holds ``config.json`` and ``environment.json``, checkpoints while it trains,
``measurement.json`` (errors against the solver on curves that were not learnt from), and the
surrogate with its manifest, written last.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from parsimony.core import artifacts
from parsimony.core.console import Console
from parsimony.core.errors import InputError, nearest, require
from parsimony.core.run import Run, lock, provenance, versions
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.network import NETWORKS

HIERARCHIES = ("none", "point", "simple")
"""One level; the reference point first, then the box; the simple properties first, then ours."""
CHECKPOINTS = "checkpoints"
MEASURED = "measurement.json"


@dataclass(frozen=True)
class Request:
    """What to train.

    Args:
        share: of the box k1 in [0.5, 4], k2 in [1, 10] around the reference; 0 is that point.
        data: simulated curves to learn from, a square number; 0 for the equations alone.
        conservation: whether the mean concentrations are held to what the current leaves.
        hierarchy: one of ``HIERARCHIES``.
        network: one of ``network.NETWORKS``.
        kinetics: linear or full.
        adam: epochs of each level.
        lbfgs: iterations of each level.
        seed: of weights, points and data.

    Raises:
        InputError: a name that is unknown, or a number out of range.
    """

    share: float = 1.0
    data: int = 9
    conservation: bool = True
    hierarchy: str = "none"
    network: str = "merged"
    kinetics: str = "linear"
    adam: int = 60
    lbfgs: int = 900
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("hierarchy", self.hierarchy, HIERARCHIES), ("network", self.network, NETWORKS),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"unknown {what}", got=value, hint=nearest(str(value), known))
        if self.hierarchy == "point" and self.share == 0:
            raise InputError("a hierarchy from the point to the box needs a box", got=self.share)
        if self.data < 0:
            raise InputError("the number of curves must be 0 or a square", got=self.data)
        Box().shrunk(self.share)
        Cell(kinetics=self.kinetics)


def train(request: Request, folder: Path, console: Console | None = None) -> dict[str, Any]:
    """Train in a new or empty folder.

    Args:
        request: what.
        folder: of the run.
        console: shows progress.

    Returns:
        What ``measurement.json`` says: ``mean_V`` and ``max_V`` of the error on unseen curves, and
        the iterations of each level.

    Raises:
        InputError: the folder holds something; a loss that is not finite.
    """
    run = Run.create(folder, provenance(request, Request()), request.seed)
    return _work(run, request, console or Console(quiet=True))


def resume(folder: Path, console: Console | None = None) -> dict[str, Any]:
    """Go on with a run that was killed; a complete one is only read.

    Args:
        folder: of the run.
        console: shows progress.

    Raises:
        ArtifactError: no run.
        InputError: another process works on it.
    """
    run = Run.open(folder)
    if run.complete:
        found: dict[str, Any] = run.read(MEASURED)
        return found
    settings = {field.name: run.settings[field.name] for field in fields(Request)}
    return _work(run, Request(**settings), console or Console(quiet=True))


def cached(request: Request, console: Console | None = None) -> Path:
    """The folder of a surrogate that is trained once on a machine.

    Args:
        request: what.
        console: shows progress.
    """
    made_of = [asdict(request), versions()]
    key = hashlib.sha256(artifacts.dumps(made_of).encode()).hexdigest()[:16]
    home = artifacts.cache() / "battery-surrogate" / key
    with lock(home.parent / f".{key}.lock", wait=True):
        if not artifacts.is_sealed(home):
            if (home / "config.json").is_file():
                resume(home, console)
            else:
                shutil.rmtree(home, ignore_errors=True)
                train(request, home, console)
    return home


def _work(run: Run, request: Request, console: Console) -> dict[str, Any]:
    require("torch", "estimate")
    from parsimony.estimate.battery import simulated
    from parsimony.estimate.battery.hierarchy import Step, climb
    from parsimony.estimate.battery.losses import Losses
    from parsimony.estimate.battery.training import Plan

    with run.locked():
        plan = Plan(adam=request.adam, lbfgs=request.lbfgs, seed=request.seed)
        cell, box = Cell(kinetics=request.kinetics), Box()
        losses = Losses() if request.conservation else replace(Losses(), conservation=0.0)
        top = Step(cell, request.share, HORIZON, plan, losses)
        if request.data:
            learnt = simulated.data(
                cell, box.shrunk(request.share), HORIZON, request.data, request.seed
            )
            top = replace(top, data=learnt)
        steps = [top]
        if request.hierarchy == "point":
            steps.insert(0, replace(top, share=0.0, data=None))
        elif request.hierarchy == "simple":
            simple = replace(cell, properties="simple")
            steps.insert(0, replace(top, cell=simple, data=None))
        trained = climb(
            steps, box=box, kind=request.network, folder=run.folder / CHECKPOINTS, console=console
        )
        surrogate = trained[-1].surrogate
        error = simulated.errors(surrogate)
        found = {
            "mean_V": error.mean / 1000,
            "max_V": error.greatest / 1000,
            "iterations": [one.iterations for one in trained],
            "losses": [one.losses[-1] for one in trained if one.losses],
        }
        run.write(MEASURED, found)
        shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
        surrogate.save(run.folder)
    return found
