"""Fit a law to a table of runs: many starts, a bootstrap over runs, and the errors it makes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parsimony.core.errors import InputError, require
from parsimony.core.fitting.columns import TABLE, positive
from parsimony.core.fitting.law import Array, Columns, Law
from parsimony.core.fitting.provenance import Provenance
from parsimony.core.fitting.result import SEPARABLE, Fit
from parsimony.core.fitting.solver import Loss, minimise

if TYPE_CHECKING:
    import pandas as pd

BOOTSTRAPS = 1000
COLLINEAR = 1e-4
"""Least eigenvalue of the correlation of log columns with which constants are told apart."""


def fit(
    law: Law,
    table: pd.DataFrame,
    *,
    run: str | None = None,
    weight: str | None = None,
    held: Mapping[str, float] | None = None,
    above: float = 1.0,
    bootstraps: int = BOOTSTRAPS,
    seed: int = 0,
    provenance: Provenance | None = None,
    file: str = TABLE,
) -> Fit:
    """Find the constants of ``law`` on the rows of ``table``.

    Args:
        law: which.
        table: one row per observation, with the law's columns and its target.
        run: column that tells which rows belong together, such as those of one training curve or
            one cell of a grid; they are resampled together. Each row by itself when ``None``.
        weight: column with the weight of each row.
        held: parameters that keep a value, as the search sees them.
        above: see ``solver.Loss``.
        bootstraps: resamples of the runs; each is fitted from the optimum of all runs.
        seed: of the resamples.
        provenance: the setting of the runs.
        file: name of the table, for errors.

    Raises:
        DataError: a column is missing or a value not positive.
        InputError: fewer runs than free parameters, a fit that makes no sense, bad arguments.
    """
    if bootstraps < 2 or above <= 0:
        raise InputError(
            "needs at least 2 bootstraps and a positive cost of predictions above",
            got={"bootstraps": bootstraps, "above": above},
        )
    table, prepared = law.prepare(table, file)
    x = positive(table, law.columns, file)
    y = np.log(positive(table, [law.target], file)[law.target])
    w = np.ones(len(y)) if weight is None else positive(table, [weight], file)[weight]
    notes = [*prepared, *law.check(table, file)]
    member = _members(table, run, file)
    runs = int(member.max()) + 1
    if run is None:
        notes.append(
            "no run column: each row is taken for a run of its own, and points of one training "
            "curve are not"
        )
    free = np.array([name not in (held or {}) for name in law.parameters])
    if runs <= free.sum():
        raise InputError(
            f"{file}: '{law.name}' has {free.sum()} constants and needs more runs than that",
            got=runs,
        )
    loss = Loss(law.delta, above)
    theta, objective = best(law, x, y, w, loss, held or {})
    condition = _condition(law, theta, x, w, free)
    if free.all() and _collinear(
        {name: values for name, values in x.items() if name not in law.fixed}
    ):
        condition = math.inf
    if condition >= SEPARABLE:
        notes.append(
            f"the constants of '{law.name}' are not separable on these runs (condition number "
            f"{condition:.1e}); vary {' and '.join(law.columns)} independently"
        )
    elif reason := law.refusal(theta, y):
        raise InputError(
            f"{file}: the fit of '{law.name}' failed: {reason}",
            hint="Other runs, or a law with fewer constants, may do",
        )
    else:
        notes += law.remarks(theta, x)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(runs, np.full(runs, 1 / runs), size=bootstraps)
    starts = np.tile(theta, (bootstraps, 1))
    draws, _ = minimise(law, starts, x, y, w * drawn[:, member], loss, free)
    apart = largest(law, x)
    held_out = _held_out(law, x, y, w, loss, held or {}, free, apart)
    if held_out is None:
        notes.append("too few runs below the largest size to tell the error on the largest")
    return Fit(
        law=law,
        theta=theta,
        draws=theta + spread_of_few(runs, int(free.sum())) * (draws - theta),
        residuals=law.evaluate(theta, x)[0] - y,
        ranges={n: (float(v.min()), float(v.max())) for n, v in law.extents(x).items()},
        objective=objective,
        held_out=None if held_out is None else _error(held_out),
        held_out_interval=None if held_out is None else _interval(held_out, member[apart], random),
        held_out_residuals=np.empty(0) if held_out is None else held_out,
        condition=condition,
        runs=runs,
        provenance=provenance or Provenance(),
        notes=tuple(notes),
    )


def best(
    law: Law, x: Columns, y: Array, w: Array, loss: Loss, held: Mapping[str, float]
) -> tuple[Array, float]:
    """The lowest optimum over the law's starts: parameters [P] and summed loss."""
    starts = np.array(law.starts(x, y), dtype=float)
    free = np.ones(starts.shape[1], bool)
    for name, value in held.items():
        starts[:, law.index(name)], free[law.index(name)] = value, False
    thetas, losses = minimise(law, starts, x, y, np.tile(w, (len(starts), 1)), loss, free)
    first = int(np.nanargmin(losses))
    return thetas[first], float(losses[first])


def _members(table: pd.DataFrame, run: str | None, file: str) -> NDArray[np.intp]:
    """The number of each row's run, [n]."""
    if run is None:
        return np.arange(len(table))
    if run not in table.columns:
        raise InputError(f"{file}: there is no column '{run}' that tells the runs apart")
    return np.asarray(np.unique(table[run].astype(str), return_inverse=True)[1])


def spread_of_few(runs: int, constants: int) -> float:
    """What a bootstrap of so few runs lacks in width: sqrt(n / (n - p)) t / z at 95 %.

    Hesterberg 2015, "What teachers should know about the bootstrap", section on small samples.
    """
    left = runs - constants
    stats = require("scipy.stats", "plan")
    return math.sqrt(runs / left) * float(stats.t.ppf(0.975, left) / stats.norm.ppf(0.975))


def _collinear(x: Columns) -> bool:
    """Whether one column is constant, or a power of the others up to a hundredth of its spread."""
    logs = np.log(np.array(list(x.values())))
    spread = logs.std(axis=1)
    if (spread < 1e-9).any():
        return True
    correlation = np.atleast_2d(np.corrcoef(logs))
    return float(np.linalg.eigvalsh(correlation)[0]) < COLLINEAR


def _condition(law: Law, theta: Array, x: Columns, w: Array, free: Array) -> float:
    """Condition number of the least-squares Hessian with its diagonal scaled to 1."""
    gradient = law.evaluate(theta, x)[1][free]
    hessian = (gradient * w) @ gradient.T
    scale = np.sqrt(np.diag(hessian))
    if not scale.all():
        return math.inf
    return float(np.linalg.cond(hessian / np.outer(scale, scale)))


def largest(law: Law, x: Columns) -> NDArray[np.bool_]:
    """Which rows of columns [n] are of the largest size, within 1 %, and so held out, [n]."""
    size = x[law.columns[0]]
    return np.asarray(size >= 0.99 * size.max())


def _held_out(
    law: Law,
    x: Columns,
    y: Array,
    w: Array,
    loss: Loss,
    held: Mapping[str, float],
    free: Array,
    apart: NDArray[np.bool_],
) -> Array | None:
    """Log residuals on the rows ``apart`` of a fit to all others."""
    if (~apart).sum() <= free.sum():
        return None
    small = {name: values[~apart] for name, values in x.items()}
    theta, _ = best(law, small, y[~apart], w[~apart], loss, held)
    large = {name: values[apart] for name, values in x.items()}
    return np.asarray(law.evaluate(theta, large)[0] - y[apart])


def _error(residuals: Array) -> float:
    return float(np.abs(np.expm1(residuals)).mean())


def _interval(
    residuals: Array, member: NDArray[np.intp], random: np.random.Generator
) -> tuple[float, float] | None:
    """95 % of the mean error, of resampled runs and as wide as so few ask for."""
    runs, place = np.unique(member, return_inverse=True)
    if len(runs) < 2:
        return None
    errors, many = np.abs(np.expm1(residuals)), np.bincount(place)
    drawn = random.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=BOOTSTRAPS)
    means = drawn @ np.bincount(place, errors) / (drawn @ many)
    low, high = np.percentile(means, [2.5, 97.5]) - errors.mean()
    wider = spread_of_few(len(runs), 1)
    return max(0.0, float(errors.mean() + wider * low)), float(errors.mean() + wider * high)
