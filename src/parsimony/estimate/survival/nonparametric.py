"""Kaplan and Meier's estimate, to hold a fit against, and whether follow-up was long enough.

Kaplan and Meier (1958), JASA 53; sufficient follow-up as in Maller and Zhou (1994), JASA 89.
"""

from __future__ import annotations

import numpy as np

from parsimony.estimate.survival.family import Array
from parsimony.estimate.survival.outcome import Outcome


def kaplan_meier(
    time: Array, event: Array, entry: Array | None = None, weights: Array | None = None
) -> tuple[Array, Array]:
    """Distinct event times, rising, and the survivor from each on; left truncation by ``entry``."""
    weights = np.ones(len(time)) if weights is None else weights
    times, place = np.unique(time, return_inverse=True)
    died = np.bincount(place, weights * event, len(times))
    left = np.bincount(place, weights, len(times))
    at_risk = left[::-1].cumsum()[::-1]
    if entry is not None:
        # A row counts from the first time after its entry on.
        later = np.searchsorted(times, entry, side="right")
        at_risk -= weights.sum() - np.bincount(later, weights, len(times) + 1).cumsum()[:-1]
    some = died > 0
    with np.errstate(divide="ignore"):
        steps = 1 - died[some] / at_risk[some]
    return times[some], np.cumprod(steps)


def follow_up(outcome: Outcome) -> tuple[float, float]:
    """The end of Kaplan and Meier's curve, and Maller and Zhou's alpha: short follow-up if > 0.05.

    With the last event at t* and the last row at T, (1 - N/n)^n for the N events in
    (2 t* - T, t*]: the chance of so few were there still events to come. 1 where the last row is
    an event.
    """
    known = ~outcome.within
    time, event = outcome.time[known], outcome.event[known]
    entry = None if outcome.entry is None else outcome.entry[known]
    _, survivor = kaplan_meier(time, event, entry)
    tail = float(survivor[-1]) if len(survivor) else 1.0
    if not event.any():
        return tail, 1.0
    last, end = time[event == 1].max(), time.max()
    late = ((event == 1) & (time > 2 * last - end)).sum()
    return tail, float((1 - late / len(time)) ** len(time))
