"""The log-likelihood of a sample, its gradient and its Hessian, in blocks of rows.

Right censoring, left truncation (+ H at entry) and intervals; the coefficients of the four linear
predictors stand one behind the other in theta. Blocks keep the intermediate arrays in the cache;
rows that agree in everything are counted once, with a weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from parsimony.estimate.survival.derivatives import First, Second, interval_terms, row_terms
from parsimony.estimate.survival.family import PARAMETERS, Array
from parsimony.estimate.survival.outcome import Outcome

BLOCK = 8192
_WORTH = 0.5  # the share of distinct times below which equal rows are looked for


class Likelihood:
    """Of one sample under one choice of formulas.

    Args:
        outcome: n rows.
        matrices: by parameter that is fitted, [n, q].
        fixed: value on the scale of the predictor of the others; that of kappa as it is.
        tied: add log(kappa/(kappa+1)) to the predictor of lambda.
        weights: of the rows, [n]; 1 where not given.
        unit: times are divided by it, to which ``fixed`` and theta refer.
    """

    def __init__(
        self,
        outcome: Outcome,
        matrices: Mapping[str, Array],
        fixed: Mapping[str, float],
        *,
        tied: bool = False,
        weights: Array | None = None,
        unit: float = 1.0,
    ) -> None:
        self.free = [p for p in PARAMETERS if p in matrices]
        self.fixed, self.tied = dict(fixed), tied
        self.kappa = self.fixed.get("kappa")
        outcome, matrices, weights = _counted(outcome, matrices, weights)
        self.matrices = {p: matrices[p] for p in self.free}
        self.slices: dict[str, slice] = {}
        start = 0
        for p in self.free:
            self.slices[p] = slice(start, start + matrices[p].shape[1])
            start = self.slices[p].stop
        self.size = start
        self.rows = len(outcome)
        self._log_unit = np.log(unit)
        self._parts = list(self._split(outcome, weights))

    def __call__(self, theta: Array, order: int = 0) -> tuple[float, Array, Array]:
        """Value, gradient [p] and Hessian [p, p] at theta; zeros beyond ``order``."""
        value = 0.0
        gradient, hessian = np.zeros(self.size), np.zeros((self.size, self.size))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for part in self._parts:
                for start in range(0, part.count, BLOCK):
                    found = part.block(slice(start, start + BLOCK), theta, order)
                    value += self._add(*found, gradient, hessian)
        upper = np.triu_indices(self.size, 1)
        hessian.T[upper] = hessian[upper]
        return value, gradient, hessian

    def _add(
        self,
        designs: dict[str, Array | None],
        weight: Array | float,
        terms: tuple[Array, First, Second],
        gradient: Array,
        hessian: Array,
    ) -> float:
        value, first, second = terms
        for p in self.free if first else ():
            weighted = weight * first[p]
            X = designs[p]
            gradient[self.slices[p]] += weighted.sum() if X is None else X.T @ weighted
        for (p, q), curve in second.items():
            if p not in self.slices or q not in self.slices:
                continue
            left, right, weighted = designs[p], designs[q], weight * curve
            place = hessian[self.slices[p], self.slices[q]]
            if left is None and right is None:
                place += weighted.sum()
            elif left is None:
                place += weighted @ right
            elif right is None:
                place += (left.T @ weighted)[:, None]
            else:
                place += (left * weighted[:, None]).T @ right
        return float((weight * value).sum())

    def _split(self, outcome: Outcome, weights: Array | None) -> Iterator[_Part]:
        """Events and censored rows; entries, which count against them; intervals."""
        within = outcome.within
        log = np.log(outcome.time) - self._log_unit
        plain = slice(None) if not within.any() else np.flatnonzero(~within)
        if not within.all():
            yield _Part(self, plain, weights, log, outcome.event)
            if outcome.entry is not None:
                late = np.flatnonzero(outcome.entry > 0)
                entered = np.log(np.maximum(outcome.entry, 1e-300)) - self._log_unit
                yield _Part(self, late, weights, entered, np.zeros_like(log), sign=-1.0)
        if outcome.low is not None:
            with np.errstate(divide="ignore"):
                low = np.log(outcome.low) - self._log_unit
            yield _Part(self, np.flatnonzero(within), weights, log, None, low=low)

    def terms(
        self,
        log_t: Array,
        event: Array | None,
        low: Array | None,
        eta: dict[str, Array | float],
        order: int,
    ) -> tuple[Array, First, Second]:
        """``row_terms`` or ``interval_terms`` with lambda tied to kappa where it is."""
        c = eta["kappa"]
        if self.tied:
            share = -np.expm1(-c) if self.kappa is None else self.kappa / (self.kappa + 1)
            eta = {**eta, "lambda": eta["lambda"] + np.log(share)}
        if low is None:
            value, first, second = row_terms(log_t, event, eta, self.kappa, order)
        else:
            value, first, second = interval_terms(low, log_t, eta, self.kappa, order)
        if self.tied and self.kappa is None and first:
            rate = 1 / np.expm1(c)  # of log(kappa/(kappa+1)) in c
            slope = first["lambda"]
            first["kappa"] = first["kappa"] + rate * slope
            if second:
                bent = -rate * (1 + rate)
                mixed, square = second["lambda", "kappa"], second["lambda", "lambda"]
                second["kappa", "kappa"] = (
                    second["kappa", "kappa"] + 2 * rate * mixed + rate**2 * square + bent * slope
                )
                for p in ("phi", "lambda", "gamma"):
                    cross = ("lambda", p) if p == "gamma" else (p, "lambda")
                    pair = (p, "kappa")
                    second[pair] = second[pair] + rate * second[cross]
        return value, first, second


class _Part:
    """Rows of one kind."""

    def __init__(
        self,
        owner: Likelihood,
        rows: slice | Array,
        weights: Array | None,
        log_t: Array,
        event: Array | None,
        *,
        low: Array | None = None,
        sign: float = 1.0,
    ) -> None:
        self.owner, self.sign = owner, sign
        self.log_t = log_t[rows]
        self.event = None if event is None else event[rows]
        self.low = None if low is None else low[rows]
        self.weights = None if weights is None else weights[rows]
        self.count = len(self.log_t)
        # An intercept alone is a number, not a column.
        self.designs = {
            p: None if X.shape[1] == 1 and (X == 1).all() else X[rows]
            for p, X in owner.matrices.items()
        }

    def block(
        self, rows: slice, theta: Array, order: int
    ) -> tuple[dict[str, Array | None], Array | float, tuple[Array, First, Second]]:
        owner = self.owner
        designs = {p: None if X is None else X[rows] for p, X in self.designs.items()}
        eta: dict[str, Array | float] = dict(owner.fixed)
        for p, X in designs.items():
            own = theta[owner.slices[p]]
            eta[p] = float(own[0]) if X is None else X @ own
        terms = owner.terms(
            self.log_t[rows],
            None if self.event is None else self.event[rows],
            None if self.low is None else self.low[rows],
            eta,
            order,
        )
        weight = self.sign if self.weights is None else self.sign * self.weights[rows]
        return designs, weight, terms


def _counted(
    outcome: Outcome, matrices: Mapping[str, Array], weights: Array | None
) -> tuple[Outcome, Mapping[str, Array], Array | None]:
    """Rows that agree in everything once, with their number as weight, where that saves work."""
    count = len(outcome)
    if count < BLOCK or len(pd.unique(outcome.time)) > _WORTH * count:
        return outcome, matrices, weights
    arrays = [outcome.time, outcome.event, outcome.entry, outcome.low]
    columns = [a for a in arrays if a is not None]
    columns += [X[:, i] for X in matrices.values() for i in range(X.shape[1])]
    code = np.zeros(count, dtype=np.int64)
    for column in columns:
        values, uniques = pd.factorize(column, use_na_sentinel=False)
        if len(uniques) > 1:
            code, groups = pd.factorize(code * len(uniques) + values)
            if len(groups) > _WORTH * count:
                return outcome, matrices, weights
    first = np.flatnonzero(~pd.Series(code).duplicated().to_numpy())
    totals = np.bincount(code, weights)[code[first]]
    return outcome.take(first), {p: X[first] for p, X in matrices.items()}, totals.astype(float)
