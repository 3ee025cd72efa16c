"""Voltage curves a second: the surrogate beside PyBaMM and beside our own solver.

A curve has 100 times. PyBaMM runs warm (the model is built before), with its default tolerances and
20 radial points, all parameter values of a batch in one call of ``solve``. The surrogate has
random weights, which cost what trained ones do. Batches of 1 to 10^4; PyBaMM's of more than 100 are
not run, because its time per curve no longer falls there.
"""

from __future__ import annotations

import warnings

import numpy as np
from _rows import Row

from parsimony.core.errors import MissingExtraError
from parsimony.estimate.battery import network, speed
from parsimony.estimate.battery.cell import Box, Cell
from parsimony.estimate.battery.pybamm_reference import Reference
from parsimony.estimate.battery.solver import solve
from parsimony.estimate.battery.surrogate import Surrogate

BATCHES = (1, 10, 100, 1000, 10_000)
PYBAMM = 100
"""Largest batch of PyBaMM."""


def rows(quick: bool = False) -> list[Row]:
    """Ratios of time, the slower first; PyBaMM's are left out where it is not installed.

    Args:
        quick: batches up to 100 only.
    """
    weights = {name: w.numpy() for name, w in network.initial("merged", 0).items()}
    surrogate = Surrogate(Cell(), Box(), "merged", weights)
    try:
        reference = Reference(points=20, tolerance=1e-4)
    except MissingExtraError:
        reference = None

    def solved(k: np.ndarray, times: np.ndarray) -> object:
        return solve(k, times)

    found: list[Row] = []
    for batch in BATCHES[:3] if quick else BATCHES:
        pairs = {"own solver over surrogate": (surrogate.voltage, solved)}
        if reference is not None and batch <= PYBAMM:
            pairs["PyBaMM over surrogate"] = (surrogate.voltage, reference.voltage)
            pairs["PyBaMM over own solver"] = (solved, reference.voltage)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyBaMM's own
            found += [
                Row(f"batch {batch:,}: {name}, time", "ratio", speed.ratios(*ways, batch))
                for name, ways in pairs.items()
            ]
    return found
