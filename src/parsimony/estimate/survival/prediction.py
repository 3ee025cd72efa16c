"""Hazards, survivors, quantiles and cured shares of new rows, with bands by the delta method.

Bands are made where a quantity has no bounds: log H (so that a survivor stays between 0 and 1),
log h, log t, and the log of the cumulative hazard's limit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from parsimony.estimate.survival import family
from parsimony.estimate.survival.derivatives import First
from parsimony.estimate.survival.family import PARAMETERS, Array
from parsimony.estimate.survival.inference import Fitted

Rows = dict[str, Array]


class Predictor:
    """Predictions of a fit on the rows of one table.

    Args:
        fitted: the fit.
        X: n rows.
        level: of the bands.
    """

    def __init__(self, fitted: Fitted, X: pd.DataFrame, level: float = 0.95) -> None:
        model = fitted.model
        rows = {p: design.columns_of(X, parameter=p) for p, design in model.designs.items()}
        self._set(fitted, rows, len(X), level)

    def _set(self, fitted: Fitted, rows: Rows, count: int, level: float) -> None:
        self._fitted, self._likelihood = fitted, fitted.model.likelihood
        self.rows, self.count, self.level = rows, count, level
        self._quantile = float(stats.norm.ppf((1 + level) / 2))
        self._eta: dict[str, Array | float] = dict(fitted.model.fixed_predictors())
        for p, columns in rows.items():
            self._eta[p] = (columns @ fitted.theta[self._likelihood.slices[p]])[:, None]

    def mean(self) -> Predictor:
        """Of one row, whose linear predictors are the means of these."""
        found = Predictor.__new__(Predictor)
        rows = {p: columns.mean(axis=0, keepdims=True) for p, columns in self.rows.items()}
        found._set(self._fitted, rows, 1, self.level)
        return found

    def parameters(self) -> dict[str, Array]:
        """phi, lambda, gamma and kappa of each row, [n] each; lambda as in the general formula."""
        found = {}
        for p in PARAMETERS:
            value = np.broadcast_to(np.asarray(self._eta[p], float).reshape(-1), (self.count,))
            fixed = p == "kappa" and p not in self.rows
            found[p] = value.copy() if fixed else np.exp(value) - (p == "kappa")
        if self._fitted.model.case.tied:
            found["lambda"] *= found["kappa"] / (found["kappa"] + 1)
        return found

    def _of_family(self, call: Callable[..., Array], first: Array) -> Array:
        at = [v[:, None] for v in self.parameters().values()]
        return call(first, *at)

    def survivor(self, times: Array) -> Array:
        """S, [n, times]."""
        return self._of_family(family.survivor, times[None])

    def hazard(self, times: Array) -> Array:
        """h, [n, times]."""
        return np.exp(self._of_family(family.log_hazard, times[None]))

    def quantile(self, shares: Array) -> Array:
        """Times by which these shares have had the event, [n, shares]; infinite for never."""
        return self._of_family(family.quantile, 1 - shares[None])

    def survivor_band(self, times: Array) -> tuple[Array, Array, Array]:
        """S with low and high, [n, times] each."""
        with np.errstate(divide="ignore"):
            value, slopes = self._terms(np.log(times)[None], 0.0)
        H = np.where(times > 0, -value, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = self._error({p: -d / H for p, d in slopes.items()})
            half = np.where(H > 0, np.exp(self._quantile * error), 1.0)
        return np.exp(-H), np.exp(-H * half), np.exp(-H / half)

    def hazard_band(self, times: Array) -> tuple[Array, Array, Array]:
        """h with low and high, [n, times] each; times positive."""
        value, slopes = self._log_hazard(times)
        return _around(value, self._quantile * self._error(slopes))

    def quantile_band(self, shares: Array) -> tuple[Array, Array, Array]:
        """Quantiles with low and high; NaN around one that is infinite."""
        times = self.quantile(shares)
        with np.errstate(divide="ignore", invalid="ignore"):
            _, slopes = self._terms(np.log(times), 0.0)
            error = self._error({p: -d / slopes["phi"] for p, d in slopes.items()})
        spread = np.where(np.isfinite(times), np.exp(self._quantile * error), np.nan)
        return times, times / spread, times * spread

    def cured_band(self) -> tuple[Array, Array, Array]:
        """The share that never has the event, with low and high, [n] each; 0 where kappa >= 0."""
        at = self.parameters()
        share = family.cured_share(at["lambda"], at["kappa"])
        cured = share > 0
        kappa = np.where(cured, at["kappa"], -0.5)
        slopes = {p: np.zeros((self.count, 1)) for p in self.rows}
        if "lambda" in slopes:
            slopes["lambda"] = np.ones((self.count, 1))
        if "kappa" in slopes:
            slopes["kappa"] = (-1 / kappa)[:, None]
        half = np.exp(self._quantile * self._error(slopes)[:, 0])
        limit = -np.log(np.where(cured, share, 0.5))
        low, high = np.exp(-limit * half), np.exp(-limit / half)
        return share, np.where(cured, low, 0.0), np.where(cured, high, 0.0)

    def hazard_ratio_band(self, times: Array) -> tuple[Array, Array, Array]:
        """Hazard of the first row over that of the second, with low and high, [times] each."""
        value, slopes = self._log_hazard(times)
        fitted, likelihood = self._fitted, self._likelihood
        moved = np.zeros((len(times), fitted.size))
        for p, columns in self.rows.items():
            slope = np.broadcast_to(slopes[p], (2, len(times)))
            moved[:, likelihood.slices[p]] = (
                slope[0][:, None] * columns[0] - slope[1][:, None] * columns[1]
            )
        error = np.sqrt(np.einsum("ti,ij,tj->t", moved, fitted.covariance, moved))
        return _around(value[0] - value[1], self._quantile * error)

    def _log_hazard(self, times: Array) -> tuple[Array, First]:
        full, slopes = self._terms(np.log(times)[None], 1.0)
        less, lower = self._terms(np.log(times)[None], 0.0)
        return full - less, {p: slopes[p] - lower[p] for p in slopes}

    def _terms(self, log_t: Array, event: float) -> tuple[Array, First]:
        with np.errstate(over="ignore", invalid="ignore"):
            value, first, _ = self._likelihood.terms(
                log_t, np.asarray(event), None, dict(self._eta), 1
            )
        return value, first

    def _error(self, slopes: First) -> Array:
        """Standard error of what has these derivatives in the predictors, [n, times]."""
        fitted, slices = self._fitted, self._likelihood.slices
        total: Array | float = 0.0
        for p, left in self.rows.items():
            for q, right in self.rows.items():
                block = fitted.covariance[slices[p], slices[q]]
                together = np.einsum("ni,ij,nj->n", left, block, right)[:, None]
                total = total + slopes[p] * slopes[q] * together
        return np.sqrt(np.maximum(total, 0.0))


def _around(log_value: Array, half: Array) -> tuple[Array, Array, Array]:
    return np.exp(log_value), np.exp(log_value - half), np.exp(log_value + half)
