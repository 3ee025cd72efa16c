"""Newton's method with the exact Hessian, damped where the likelihood is not concave.

The likelihood of the family may have several maxima in (phi, lambda, gamma, kappa), so the best of
several starts is kept; ``screen`` tries them on a part of a large sample first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from parsimony.estimate.survival.family import Array

Objective = Callable[[Array, int], tuple[float, Array, Array]]
_ENOUGH = 1e-9  # of log-likelihood that a further step would bring
_LONGEST = 2.0  # of a step, in any scaled coefficient
_FLOOR = 1e-9  # of an eigenvalue, relative to the largest
_HALVINGS = 40


@dataclass(frozen=True)
class Optimum:
    """Where a search has ended.

    Attributes:
        theta: the p coefficients.
        value: of the log-likelihood there.
        gradient: [p].
        hessian: [p, p].
        steps: how many were taken.
        converged: whether no further step would bring more than 1e-9.
    """

    theta: Array
    value: float
    gradient: Array
    hessian: Array
    steps: int
    converged: bool


def maximise(
    objective: Objective,
    start: Array,
    bounds: tuple[Array, Array],
    most: int = 100,
    enough: float = _ENOUGH,
) -> Optimum:
    """Climb from one start.

    Args:
        objective: value, gradient and Hessian at theta; finite at the start.
        start: [p].
        bounds: lowest and highest theta, [p] each.
        most: steps.
        enough: gain below which the search ends.
    """
    low, high = bounds
    theta = np.clip(start, low, high)
    value, gradient, hessian = objective(theta, 2)
    converged, taken = len(theta) == 0, 0
    while not converged and taken < most and np.isfinite(value):
        # At a bound that the likelihood pushes against, a coefficient stays.
        free = ~(((theta <= low) & (gradient < 0)) | ((theta >= high) & (gradient > 0)))
        step = np.zeros_like(theta)
        step[free] = _direction(gradient[free], hessian[np.ix_(free, free)])
        gain = float(gradient @ step)
        converged = gain < 2 * enough
        step *= min(1.0, _LONGEST / max(np.abs(step).max(initial=0.0), 1e-300))
        gain = float(gradient @ step)
        share = 1.0
        for halving in range(_HALVINGS):
            tried = np.clip(theta + share * step, low, high)
            # The whole step mostly climbs, so what the next one needs is computed with it.
            found = objective(tried, 0 if halving else 2)
            if np.isfinite(found[0]) and found[0] >= value + 1e-4 * share * gain:
                break
            share /= 2
        else:
            # No step climbs: what is left is rounding, or the end is not a maximum.
            return Optimum(theta, value, gradient, hessian, taken, gain < 1e-4)
        theta, taken = tried, taken + 1
        value, gradient, hessian = found if share == 1 else objective(theta, 2)
    return Optimum(theta, value, gradient, hessian, taken, converged)


def _direction(gradient: Array, hessian: Array) -> Array:
    """Uphill: Newton's step with the curvatures made negative and kept away from zero."""
    if not len(gradient):
        return gradient
    values, vectors = np.linalg.eigh(-hessian)
    size = np.abs(values)
    size = np.maximum(size, _FLOOR * size.max() + 1e-300)
    return np.asarray(vectors @ ((vectors.T @ gradient) / size))


def best(
    objective: Objective, starts: Iterable[Array], bounds: tuple[Array, Array], most: int = 100
) -> Optimum:
    """The highest end of several climbs.

    Raises:
        FloatingPointError: the likelihood is not finite at any start.
    """
    found: Optimum | None = None
    for start in starts:
        one = maximise(objective, start, bounds, most)
        if np.isfinite(one.value) and (found is None or one.value > found.value + 1e-7):
            found = one
    if found is None:
        raise FloatingPointError("the likelihood is not finite at any start")
    return found
