"""How many times faster one way to a voltage curve is than another, in one process, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from parsimony.estimate.battery.cell import HORIZON, Box

TIMES = np.linspace(10, HORIZON, 100)
"""Seconds of a curve, the paper's."""
REPETITIONS = 5

Way = Callable[[np.ndarray, np.ndarray], object]
"""Voltages (b, n) of parameters (b, 2) at times (n,)."""


def ratios(fast: Way, slow: Way, batch: int, repetitions: int = REPETITIONS) -> tuple[float, ...]:
    """Processor time of ``slow`` over that of ``fast``, once for each repetition.

    Args:
        fast: one way; it is called once before, and so is the other.
        slow: the other.
        batch: parameter values in a call, drawn from the box.
        repetitions: how often; small batches are called more often in each.
    """
    box = Box()
    k = np.random.default_rng(batch).uniform(box.low, box.high, (batch, 2))
    for way in (fast, slow):
        way(k, TIMES)
    found = []
    for _ in range(repetitions):
        spent = {fast: 0.0, slow: 0.0}
        for _ in range(max(1, 20 // batch)):
            for way in (fast, slow):
                began = time.process_time()
                way(k, TIMES)
                spent[way] += time.process_time() - began
        found.append(spent[slow] / spent[fast])
    return tuple(found)
