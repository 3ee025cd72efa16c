"""Voltage curves a second: the surrogate beside PyBaMM and beside our own solver.

A curve has 100 times. PyBaMM runs warm (the model is built before), with its default tolerances and
20 radial points, all parameter values of a batch in one call of ``solve``. The surrogate has
random weights, which cost what trained ones do. Batches of 1 to 10^4; PyBaMM's of more than 100 are
not run, because its time per curve no longer falls there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from _rows import FEWEST, Row, spent

from parsimony.core.errors import MissingExtraError
from parsimony.estimate.battery import network
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.pybamm_reference import Reference
from parsimony.estimate.battery.solver import solve
from parsimony.estimate.battery.surrogate import Surrogate

TIMES = np.linspace(10, HORIZON, 100)
BATCHES = (1, 10, 100, 1000, 10_000)
PYBAMM = 100
"""Largest batch of PyBaMM."""


def parameters(batch: int) -> np.ndarray:
    """(batch, 2) drawn from the box."""
    box = Box()
    return np.random.default_rng(batch).uniform(box.low, box.high, (batch, 2))


def turns(ours: Callable[[], object], peer: Callable[[], object], repeat: int) -> tuple[float, ...]:
    """Time of the peer over ours, in turns; each is called once before."""
    ours(), peer()
    found = []
    for _ in range(FEWEST):
        mine = theirs = 0.0
        for _ in range(repeat):
            mine += spent(ours)
            theirs += spent(peer)
        found.append(theirs / mine)
    return tuple(found)


def rows(quick: bool = False) -> list[Row]:
    """Ratios of time: how many times faster the first is than the second.

    Args:
        quick: batches up to 100 only.
    """
    weights = {name: w.numpy() for name, w in network.initial("merged", 0).items()}
    surrogate = Surrogate(Cell(), Box(), "merged", weights)
    try:
        reference = Reference(points=20, tolerance=1e-4)
    except MissingExtraError:
        reference = None
    found: list[Row] = []
    for batch in BATCHES[:3] if quick else BATCHES:
        k = parameters(batch)
        repeat = max(1, 30 // batch)

        def learnt(k: np.ndarray = k) -> object:
            return surrogate.voltage(k, TIMES)

        def solved(k: np.ndarray = k) -> object:
            return solve(k, TIMES)

        name = f"batch {batch:,}"
        values = turns(learnt, solved, repeat)
        found.append(Row(f"{name}: own solver over surrogate, time", "ratio", values))
        if reference is None or batch > PYBAMM:
            continue

        def simulated(k: np.ndarray = k, peer: Reference = reference) -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return peer.voltage(k, TIMES)

        values = turns(learnt, simulated, repeat)
        found.append(Row(f"{name}: PyBaMM over surrogate, time", "ratio", values))
        values = turns(solved, simulated, repeat)
        found.append(Row(f"{name}: PyBaMM over own solver, time", "ratio", values))
    return found
