"""Minimise the robust loss of a law for many problems at once: starts, resamples, or both.

The loss is the weighted SUM of Huber losses of log residuals, ``Σ_i w_i huber(f_i(θ) - y_i)``. A
mean would be smaller by the number of runs, and tolerances made for figures around 1 then stop
too early; so the loss is scaled, too.

Two steps compete. Newton's treats the residuals inside ``delta`` as squared and those outside as
linear, as they are; near the optimum it converges in a few steps. Reweighted least squares (each
residual beyond ``delta`` weighs delta / |r|) can always go downhill, and is taken where Newton's
step fails. Both are damped as Levenberg and Marquardt do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsimony.core.fitting.law import Array, Columns, Law

SCALE = 1e4
STEPS = 400
ENOUGH = 1e-14  # of the loss: a predicted gain below this is noise
CACHE = 100_000  # numbers in the gradient of the problems that are solved together


@dataclass(frozen=True)
class Loss:
    """How a residual counts.

    Attributes:
        delta: beyond this a residual counts by its size.
        above: what a prediction above the observation costs, of what one below costs. More than 1
            draws the law to the lower envelope of the runs.
    """

    delta: float
    above: float = 1.0

    def value(self, residual: Array, weight: Array) -> Array:
        """Summed loss, unscaled: [..., n] -> [...]."""
        size = np.abs(residual)
        near = np.minimum(size, self.delta)
        return np.asarray((self._tilted(residual, weight) * near * (size - 0.5 * near)).sum(-1))

    def slope(self, residual: Array, weight: Array) -> Array:
        """Derivative to each residual."""
        bounded = np.clip(residual, -self.delta, self.delta)
        return self._tilted(residual, weight) * bounded

    def curvature(self, residual: Array, weight: Array) -> Array:
        """Second derivative to each residual."""
        return self._tilted(residual, weight) * (np.abs(residual) <= self.delta)

    def reweighted(self, residual: Array, weight: Array) -> Array:
        """Weights under which a quadratic lies above this loss, as good as, on both sides of 0."""
        size = np.maximum(np.abs(residual), 1e-300)
        return weight * max(1.0, self.above) * np.minimum(1.0, self.delta / size)

    def _tilted(self, residual: Array, weight: Array) -> Array:
        if self.above == 1.0:
            return weight
        return weight * np.where(residual > 0, self.above, 1.0)


def minimise(
    law: Law,
    starts: Array,
    x: Columns,
    y: Array,
    weights: Array,
    loss: Loss,
    free: Array | None = None,
) -> tuple[Array, Array]:
    """Solve every problem from its start.

    Args:
        law: what is fitted.
        starts: [problems, P].
        x: columns, [n] each.
        y: log targets, [n].
        weights: of the rows, [problems, n].
        loss: how a residual counts.
        free: whether each parameter may move, [P]; all when ``None``.

    Returns:
        Parameters [problems, P] and summed losses [problems], unscaled.
    """
    moves = np.ones(starts.shape[1], bool) if free is None else np.asarray(free, bool)
    size = max(1, CACHE // (max(1, int(moves.sum())) * len(y)))
    found = [
        _together(law, starts[i : i + size], x, y, weights[i : i + size], loss, moves)
        for i in range(0, len(starts), size)
    ]
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _together(
    law: Law, starts: Array, x: Columns, y: Array, weights: Array, loss: Loss, free: Array
) -> tuple[Array, Array]:
    """``minimise`` for problems that fit the cache; those that are done leave the batch."""
    best, lowest = starts.astype(float), np.empty(len(starts))
    identity = np.eye(int(free.sum()))
    left = np.arange(len(starts))
    theta, w = best.copy(), weights * SCALE
    value, gradient = law.evaluate(theta, x)
    r, g = value - y, gradient[:, free]
    now = loss.value(r, w)
    damping, newton = np.full(len(left), 1e-3), np.ones(len(left), bool)
    for _ in range(STEPS):
        soft = loss.reweighted(r, w)
        weight = np.where(newton[:, None], loss.curvature(r, w), soft)
        hessian = np.matmul(g * weight[:, None], g.swapaxes(1, 2))
        scale = np.matmul(g * g, soft[:, :, None])[:, :, 0]
        scale += 1e-12 * scale.max(1, keepdims=True) + 1e-300
        hessian += (damping[:, None] * scale)[:, :, None] * identity
        slope = np.matmul(g, loss.slope(r, w)[:, :, None])
        step = -np.linalg.solve(hessian, slope)
        gain = -0.5 * np.matmul(slope.swapaxes(1, 2), step)[:, 0, 0]
        trial = theta.copy()
        trial[:, free] += step[:, :, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = law.evaluate(trial, x)
        residual = value - y
        then = loss.value(residual, w)
        better = then < now  # a figure that is not a number is not better
        done = gain <= ENOUGH * now
        theta[better], r[better], now[better] = trial[better], residual[better], then[better]
        g[better] = gradient[better][:, free]
        # Newton's step is tried first, and again after each success; then least squares; then
        # both more carefully.
        damping = np.where(better, damping / 5, np.where(newton, damping, damping * 5))
        damping = np.maximum(damping, 1e-9)
        newton = better | ~newton
        if done.any():
            best[left[done]], lowest[left[done]] = theta[done], now[done]
            keep = ~done
            left, theta, w, r, g = left[keep], theta[keep], w[keep], r[keep], g[keep]
            now, damping, newton = now[keep], damping[keep], newton[keep]
            if not len(left):
                break
    best[left], lowest[left] = theta, now
    return best, lowest / SCALE
