"""Whole studies on made-up numbers: how often a design finds what is there, and what is not.

watts of a run = noise + drift * its number + difference, where it is of the second arm
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from parsimony.core.errors import InputError
from parsimony.plan.energy_study.design import order

ARMS = ["first", "second"]


def rejection_rate(
    runs: int,
    difference: float,
    deviation: float,
    *,
    drift: float = 0.0,
    shuffled: bool = True,
    paired: bool = True,
    alpha: float = 0.05,
    studies: int = 5000,
    seed: int = 0,
) -> float:
    """Share of simulated studies whose t test finds a difference at level ``alpha``.

    Args:
        runs: of each arm.
        difference: true one, second minus first.
        deviation: standard deviation of a run's noise, positive.
        drift: what every run adds to those after it.
        shuffled: in blocks, as ``design.order`` does; else all of the first arm before the second.
        paired: compare block by block; else Welch's test.
        alpha: level.
        studies: simulated.
        seed: of noise and orders.

    Raises:
        InputError: fewer than two runs, or noise that is not positive.
    """
    if runs < 2 or not deviation > 0:
        raise InputError(
            "a simulated study needs 2 runs and a positive deviation", got=(runs, deviation)
        )
    noise = np.random.default_rng(seed).normal(0, deviation, (studies, runs, 2))
    places = np.stack([_places(runs, shuffled, seed * studies + s) for s in range(studies)])
    watts = noise + drift * places + np.array([0.0, difference])
    first, second = watts[..., 0], watts[..., 1]
    if paired:
        p = stats.ttest_rel(second, first, axis=1).pvalue
    else:
        p = stats.ttest_ind(second, first, axis=1, equal_var=False).pvalue
    return float((p < alpha).mean())


def _places(runs: int, shuffled: bool, seed: int) -> np.ndarray:
    """When each run takes place; shape (runs, arms)."""
    if not shuffled:
        return np.arange(2 * runs).reshape(2, runs).T
    places = np.empty((runs, 2))
    for slot in order(ARMS, runs, seed):
        places[slot.block, ARMS.index(slot.arm)] = slot.number
    return places
