"""How many runs, and in which order: blocks of one run of each arm, shuffled inside.

What drifts (temperature, time of day) then meets all arms alike, and cancels inside a block.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from parsimony.core import power
from parsimony.plan.energy_study.config import Study

RESPONSES = ("energy", "power", "time")
"""What is compared; with ``per sample`` where arms see different numbers of samples."""


@dataclass(frozen=True)
class Slot:
    """One run of the study.

    Attributes:
        number: its place in the order, from 0.
        block: runs of one block are a pair.
        arm: its name.
        seed: the same for all arms of a block.
    """

    number: int
    block: int
    arm: str
    seed: int


@dataclass(frozen=True)
class Design:
    """A study before it runs.

    Attributes:
        runs: of each arm.
        tests: how many p-values there will be.
        alpha: the strictest level that the correction asks of one of them.
        power: chance that ``runs`` see the effect asked for at that level.
        detectable: smallest effect that they see with the power asked for.
        order: of all runs.
    """

    runs: int
    tests: int
    alpha: float
    power: float
    detectable: float
    order: tuple[Slot, ...]


def design(study: Study, seed: int) -> Design:
    """Runs from the power asked for, and their order from the seed.

    Raises:
        InputError: an effect so small that no number of runs would do.
    """
    measured = RESPONSES if study.meter != "none" else ("time",)
    tests = len(study.others) * len(measured)
    alpha = study.alpha / tests  # Holm's first step is Bonferroni's
    runs = study.runs or max(
        2, power.runs_needed(study.effect, alpha=alpha, power=study.power, paired=True)
    )
    return Design(
        runs,
        tests,
        alpha,
        power.power_of(study.effect, runs, alpha=alpha, paired=True),
        power.detectable(runs, alpha=alpha, power=study.power, paired=True),
        tuple(order(study.names, runs, seed)),
    )


def order(arms: list[str], runs: int, seed: int) -> list[Slot]:
    """``runs`` blocks, each with every arm once, in an order drawn from ``seed``."""
    drawn = random.Random(seed)
    slots: list[Slot] = []
    for block in range(runs):
        for arm in drawn.sample(arms, len(arms)):
            slots.append(Slot(len(slots), block, arm, seed + block))
    return slots
