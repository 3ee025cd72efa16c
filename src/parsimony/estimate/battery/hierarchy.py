"""The multi-fidelity hierarchy: a level is trained, frozen, and corrected by the next.

A lower level may have simpler physics (the simple property set, linear kinetics), a single
parameter value (share 0 of the box), or a shorter horizon, after which the next goes on in time.
``surrogate`` holds the formulas and says which levels chain.

Paper: arXiv 2312.17329, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.estimate.battery import network
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.losses import Data, Losses
from parsimony.estimate.battery.surrogate import Surrogate
from parsimony.estimate.battery.training import Plan, Trained, train


@dataclass(frozen=True)
class Step:
    """One level of the hierarchy.

    Args:
        cell: with the physics of the level.
        share: of the box, 0 to 1; 0 is the reference point.
        horizon: seconds; a step beyond the one below in time goes on where that one stops.
        plan: how long and on how many points.
        losses: weights of the terms.
        data: simulated states of the level's physics.
    """

    cell: Cell = field(default_factory=Cell)
    share: float = 1.0
    horizon: float = HORIZON
    plan: Plan = field(default_factory=Plan)
    losses: Losses = field(default_factory=Losses)
    data: Data | None = None


def climb(
    steps: Sequence[Step],
    *,
    box: Box | None = None,
    kind: str = "merged",
    below: Surrogate | None = None,
    folder: Path | None = None,
    console: Console | None = None,
) -> list[Trained]:
    """Train the levels one after the other.

    Args:
        steps: from the lowest up.
        box: whole box of the parameters.
        kind: of every network.
        below: a trained level to start above.
        folder: for checkpoints, ``level-0``, ``level-1``, ...; goes on from those there.
        console: shows progress.

    Returns:
        What each level found; the surrogate of the last is the whole chain.

    Raises:
        InputError: no step; levels that do not chain; a loss that is not finite.
    """
    if not steps:
        raise InputError("a hierarchy needs at least one level", got=len(steps))
    box, low = box or Box(), below
    found: list[Trained] = []
    for number, step in enumerate(steps):
        later = low is not None and low.horizon < step.horizon
        weights = network.initial(kind, step.plan.seed)
        if low is not None:
            # A correction starts from nothing: the last layers are zero.
            weights = {n: 0 * w if ".out." in n else w for n, w in weights.items()}
        level = Surrogate(
            cell=step.cell,
            box=box.shrunk(step.share),
            kind=kind,
            weights=weights,
            horizon=step.horizon,
            start=low.horizon if later and low is not None else 0.0,
            low=low,
        )
        seeded = replace(step.plan, seed=step.plan.seed + number)  # other points than below
        found.append(
            train(
                level, seeded, step.losses, step.data,
                folder=folder / f"level-{number}" if folder is not None else None,
                console=console, title=f"level {number + 1} of {len(steps)}",
            )
        )  # fmt: skip
        low = found[-1].surrogate
    return found
