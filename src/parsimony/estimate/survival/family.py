"""The adapted power generalised Weibull family (APGW): hazards, quantiles, draws.

With z = (phi t)^gamma, Burke, Jones and Noufaily (2020), JRSS C 69(2), 429-457, section 2:

    H(t) = lambda (kappa+1)/kappa [ (1 + z/(kappa+1))^kappa - 1 ],   S(t) = exp(-H(t))
    h(t) = lambda gamma z/t (1 + z/(kappa+1))^(kappa-1)

phi > 0 stretches time (the AFT parameter), lambda > 0 multiplies the hazard (the PH parameter),
gamma > 0 and kappa > -1 are shapes. The limits kappa = 0, H = lambda log(1 + z), and kappa =
infinity, H = lambda (exp(z) - 1), are values like any other here. For -1 < kappa < 0 the cumulative
hazard is bounded: a share exp(lambda (kappa+1)/kappa) never has the event.

All functions broadcast; times have any unit, phi its inverse.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
PARAMETERS = ("phi", "lambda", "gamma", "kappa")
COEFFICIENTS = {"phi": "tau", "lambda": "beta", "gamma": "alpha", "kappa": "nu"}
"""The paper's letters for the regression coefficients of each parameter."""

_SMALL = 0.3
"""|y| below which the quotients of ``exp`` below are summed as series."""
_TERMS = 14


def cumulative_hazard(
    t: ArrayLike, phi: ArrayLike, lam: ArrayLike, gamma: ArrayLike, kappa: ArrayLike
) -> Array:
    """H(t), for t >= 0."""
    z = _z(t, phi, gamma)
    return np.asarray(lam * baseline(z, kappa))


def survivor(
    t: ArrayLike, phi: ArrayLike, lam: ArrayLike, gamma: ArrayLike, kappa: ArrayLike
) -> Array:
    """S(t) = exp(-H(t)), the share without the event by t."""
    return np.exp(-cumulative_hazard(t, phi, lam, gamma, kappa))


def log_hazard(
    t: ArrayLike, phi: ArrayLike, lam: ArrayLike, gamma: ArrayLike, kappa: ArrayLike
) -> Array:
    """log h(t), for t > 0."""
    t, phi, lam, gamma, kappa = np.broadcast_arrays(*_floats(t, phi, lam, gamma, kappa))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        w = gamma * (np.log(phi) + np.log(t))
        m = np.where(np.isinf(kappa), 1.0, kappa + 1)
        power = np.where(np.isinf(kappa), np.exp(w), (m - 2) * np.log1p(np.exp(w) / m))
        return np.asarray(np.log(lam) + np.log(gamma) + w - np.log(t) + power)


def baseline(z: ArrayLike, kappa: ArrayLike) -> Array:
    """L0(z) = (kappa+1)/kappa [(1 + z/(kappa+1))^kappa - 1], with its limits at 0 and infinity."""
    z, kappa = np.broadcast_arrays(*_floats(z, kappa))
    endless = np.isinf(kappa)
    k = np.where(endless, 1.0, kappa)
    with np.errstate(over="ignore"):
        a = np.log1p(z / (k + 1))
        return np.where(endless, np.expm1(z), (k + 1) * a * growth(k * a))


def growth(y: Array, derivative: int = 0) -> Array:
    """(exp(y) - 1) / y or one of its first two derivatives, smooth through y = 0."""
    series, closed = _GROWTH[derivative]
    small = np.abs(y) < _SMALL
    if small.all():
        return np.polyval(series, y)
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.where(small, 1.0, y)
        found = closed(far, np.exp(far))
    if small.any():
        found[small] = np.polyval(series, y[small])
    return found


def _series(derivative: int) -> Array:
    """Coefficients, the highest power first."""
    rising = np.poly1d(1 / np.cumprod(np.arange(1.0, _TERMS + 1))[::-1])
    return np.asarray(rising.deriv(derivative).coeffs if derivative else rising.coeffs)


_GROWTH: tuple[tuple[Array, Callable[[Array, Array], Array]], ...] = (
    (_series(0), lambda y, e: (e - 1) / y),
    (_series(1), lambda y, e: (y * e - (e - 1)) / y**2),
    (_series(2), lambda y, e: (e * (y**2 - 2 * y + 2) - 2) / y**3),
)


def quantile(
    u: ArrayLike, phi: ArrayLike, lam: ArrayLike, gamma: ArrayLike, kappa: ArrayLike
) -> Array:
    """The time at which S(t) = u, for 0 < u <= 1; infinite where S never falls so low."""
    u, phi, lam, gamma, kappa = np.broadcast_arrays(*_floats(u, phi, lam, gamma, kappa))
    e = -np.log(u) / lam
    k = np.where(np.isinf(kappa), 1.0, kappa)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # log(1 + k e/(k+1)) / k is A of ``baseline``; at k = 0 it is e.
        inside = k * e / (k + 1)
        reached = inside > -1
        inside = np.where(reached, inside, 0.0)
        a = np.where(np.abs(inside) < 1e-12, e / (k + 1), np.log1p(inside) / np.where(k, k, 1.0))
        z = np.where(np.isinf(kappa), np.log1p(e), (k + 1) * np.expm1(a))
        found = z ** (1 / gamma) / phi
    return np.where(reached | np.isinf(kappa), found, np.inf)


def simulate(
    random: np.random.Generator,
    phi: ArrayLike,
    lam: ArrayLike,
    gamma: ArrayLike,
    kappa: ArrayLike,
    size: int | None = None,
) -> Array:
    """Times by inversion of S; infinite for the cured.

    Args:
        random: where chance comes from.
        phi, lam, gamma, kappa: numbers or one value for each row.
        size: how many rows; by default as many as the parameters have.
    """
    shape = np.broadcast_shapes(*(np.shape(v) for v in (phi, lam, gamma, kappa)))
    return quantile(1 - random.random(shape if size is None else size), phi, lam, gamma, kappa)


def cured_share(lam: ArrayLike, kappa: ArrayLike) -> Array:
    """The limit of S(t): exp(lambda (kappa+1)/kappa) for kappa < 0, and else 0."""
    lam, kappa = np.broadcast_arrays(*_floats(lam, kappa))
    k = np.where(kappa < 0, kappa, -1.0)
    return np.where(kappa < 0, np.exp(lam * (k + 1) / k), 0.0)


def hazard_shape(gamma: float, kappa: float) -> str:
    """How the hazard runs: near 0 it goes like t^(gamma-1), far out like t^(kappa gamma - 1)."""
    late = max(kappa, 0.0) * gamma
    if gamma == 1 and kappa == 1:
        return "constant"
    if gamma >= 1 and late >= 1:
        return "increasing"
    if gamma <= 1 and late <= 1:
        return "decreasing"
    return "up, then down" if gamma > 1 else "down, then up"


def _z(t: ArrayLike, phi: ArrayLike, gamma: ArrayLike) -> Array:
    t, phi, gamma = _floats(t, phi, gamma)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.exp(gamma * (np.log(phi) + np.log(t))))


def _floats(*values: ArrayLike) -> list[Array]:
    return [np.asarray(value, dtype=float) for value in values]
