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


def follow_up(outcome: Outcome, weights: Array | None = None) -> tuple[float, float, float]:
    """The end of Kaplan and Meier's curve, how long it is flat, and Maller and Zhou's alpha.

    Returns:
        The survivor at the end; the share of the follow-up that is after the last event; and, with
        the last event at t* and the last row at T, (1 - N/n)^n for the N events in (2 t* - T, t*],
        which is above 0.05 where follow-up is short.
    """
    known = ~outcome.within
    time, event = outcome.time[known], outcome.event[known]
    if not event.any():
        return 1.0, 0.0, 1.0
    entry = None if outcome.entry is None else outcome.entry[known]
    counts = None if weights is None else weights[known]
    _, survivor = kaplan_meier(time, event, entry, counts)
    last, end = time[event == 1].max(), time.max()
    late = ((event == 1) & (time > 2 * last - end)).sum()
    alpha = (1 - late / len(time)) ** len(time)
    return float(survivor[-1]), float(1 - last / end), float(alpha)
