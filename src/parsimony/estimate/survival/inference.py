"""Standard errors, and intervals by Wald's rule or by profiling the likelihood.

Standard errors come from the inverse of the observed information, which is exact here. A profile
interval holds the values that a likelihood-ratio test against the fit does not reject: it does not
change with the parametrisation, and is one-sided where the likelihood is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from parsimony.estimate.errors import EstimatorInputError
from parsimony.estimate.survival.family import Array
from parsimony.estimate.survival.model import Model
from parsimony.estimate.survival.optimiser import Optimum, maximise

METHODS = ("wald", "profile")
_WIDEST = 12  # standard errors beyond which a profile is not followed
_MOST = 60  # steps of one point of a profile, which starts beside its end
_CLOSE = 1e-6  # of log-likelihood, to which such a point is found
_LEAST_CURVED = 1e-9  # of the information's eigenvalues, below which nothing is known


@dataclass
class Fitted:
    """A model at its optimum, on the scale of the columns as given.

    Attributes:
        model: what was fitted.
        optimum: on the scale of the centred columns.
        endless: coefficients that run to minus (-1) or plus (1) infinity, else 0, [p].
        theta: coefficients, [p].
        covariance: of them, [p, p]; zero for those that have none.
        known: which have a variance, [p].
        eigenvalues: of the information of the centred columns, rising, [p].
    """

    model: Model
    optimum: Optimum
    endless: Array
    theta: Array = field(init=False)
    covariance: Array = field(init=False)
    known: Array = field(init=False)
    eigenvalues: Array = field(init=False)
    _inverse: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        back = self.model.back()
        self.theta = back @ self.optimum.theta + self.model.shift()
        information = -self.optimum.hessian
        self.eigenvalues = np.linalg.eigvalsh(information) if len(information) else np.zeros(0)
        low, high = self.model.bounds()
        inside = (self.optimum.theta > low) & (self.optimum.theta < high)
        self.known = inside & (self.endless == 0)
        size = len(self.theta)
        self.covariance = np.zeros((size, size))
        self._inverse = np.eye(size)
        if (self.endless != 0).any():
            # The centred intercept mixes with a column that has no variance.
            there = np.linalg.inv(back)
            information, back = there.T @ information @ there, np.eye(size)
        keep = np.ix_(self.known, self.known)
        part = information[keep]
        scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(part)), 1e-300))
        values, vectors = np.linalg.eigh(part * np.outer(scale, scale))
        if not len(values) or values[0] < _LEAST_CURVED * max(values[-1], 1.0):
            self.known = self.known & False
            return
        inverse = (vectors / values) @ vectors.T * np.outer(scale, scale)
        whole = np.zeros((size, size))
        whole[keep] = inverse
        self.covariance = back @ whole @ back.T
        there = np.linalg.inv(self.model.back())
        self._inverse = there @ self.covariance @ there.T

    @property
    def log_likelihood(self) -> float:
        """In the unit of time of the data."""
        return self.optimum.value - self.model.log_unit_events()

    @property
    def size(self) -> int:
        """How many coefficients."""
        return len(self.theta)

    @property
    def index(self) -> pd.MultiIndex:
        """Parameter and term of each coefficient."""
        return pd.MultiIndex.from_tuples(self.model.names, names=["parameter", "term"])

    def place(self, parameter: str, term: str) -> int:
        """Of a coefficient.

        Raises:
            EstimatorInputError: there is none.
        """
        names = self.model.names
        if (parameter, term) not in names:
            raise EstimatorInputError(
                "there is no such coefficient", got=f"{parameter}: {term}",
                hint="Known: " + ", ".join(f"{p}: {t}" for p, t in names),
            )  # fmt: skip
        return names.index((parameter, term))

    def standard_errors(self) -> Array:
        """NaN where there is none, [p]."""
        return np.where(self.known, np.sqrt(np.maximum(np.diag(self.covariance), 0)), np.nan)

    def profile(self, place: int, value: float, start: Array | None = None) -> tuple[float, Array]:
        """The highest log-likelihood with one coefficient held.

        Args:
            place: of the coefficient.
            value: at which it is held, on the scale of the columns as given.
            start: coefficients of the centred columns to start from.

        Returns:
            Log-likelihood (in the unit of the data) and the coefficients there.
        """
        model = self.model
        row = model.back()[place]
        start = self.optimum.theta if start is None else start
        # Into the plane row . theta = value - shift along the profile's tangent at the optimum.
        tangent = self._inverse @ row if self.known[place] else row
        nearest = start + tangent * ((value - model.shift()[place] - row @ start) / (row @ tangent))
        within = np.linalg.svd(row[None])[2][1:].T

        def objective(part: Array, order: int) -> tuple[float, Array, Array]:
            height, slope, curve = model.likelihood(nearest + within @ part, order)
            return height, within.T @ slope, within.T @ curve @ within

        free = np.full(within.shape[1], np.inf)
        found = maximise(objective, np.zeros(within.shape[1]), (-free, free), _MOST, _CLOSE)
        return found.value - model.log_unit_events(), nearest + within @ found.theta

    def profile_interval(self, place: int, level: float) -> tuple[float, float]:
        """Ends of the interval by likelihood ratio; infinite where the likelihood stays high."""
        limit = self.log_likelihood - stats.chi2.ppf(level, 1) / 2
        error = self.standard_errors()[place]
        if not np.isfinite(error):
            error = 1.0
        ends = []
        for side in (-1.0, 1.0):
            here, start = self.theta[place], self.optimum.theta
            for _ in range(_WIDEST):
                there = here + side * error
                height, end = self.profile(place, there, start)
                if not height >= limit:
                    break
                here, start = there, end
            if np.isfinite(height) and height < limit:
                ends.append(self._crossing(place, here, there, limit, start))
            else:
                ends.append(side * np.inf)
        return ends[0], ends[1]

    def _crossing(
        self, place: int, inside: float, outside: float, limit: float, start: Array
    ) -> float:
        def above(value: float) -> float:
            return self.profile(place, value, start)[0] - limit

        return float(brentq(above, inside, outside, xtol=1e-6 * max(1e-3, abs(outside - inside))))

    def summary(self, method: str, level: float) -> pd.DataFrame:
        """One row for each coefficient: estimate, se, z, p, low, high.

        Args:
            method: ``"wald"``, or ``"profile"``, whose p are those of likelihood-ratio tests.
            level: of the intervals.
        """
        error = self.standard_errors()
        with np.errstate(invalid="ignore"):
            estimate = np.where(self.endless != 0, self.endless * np.inf, self.theta)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(self.endless != 0, np.nan, estimate / error)
        half = stats.norm.ppf((1 + level) / 2) * error
        p = 2 * stats.norm.sf(np.abs(z))
        with np.errstate(invalid="ignore"):
            low, high = estimate - half, estimate + half
        if method == "profile":
            for j in np.flatnonzero(self.endless == 0):
                low[j], high[j] = self.profile_interval(j, level)
                lost = 2 * (self.log_likelihood - self.profile(j, 0.0)[0])
                p[j] = stats.chi2.sf(max(lost, 0.0), 1)
        columns = {"estimate": estimate, "se": error, "z": z, "p": p, "low": low, "high": high}
        return pd.DataFrame(columns, index=self.index)

    def natural(self, level: float) -> pd.DataFrame:
        """phi, lambda, gamma, kappa at the means of their covariates: estimate, low, high.

        Fixed parameters have their value for an interval.
        """
        quantile, rows = stats.norm.ppf((1 + level) / 2), {}
        for p in ("phi", "lambda", "gamma", "kappa"):
            if p not in self.model.designs:
                rows[p] = (self.model.fixed[p],) * 3
                continue
            at, mean = self.model.likelihood.slices[p], self.model.designs[p].means
            middle = float(mean @ self.theta[at])
            half = quantile * float(np.sqrt(max(mean @ self.covariance[at, at] @ mean, 0.0)))
            if not self.known[at].any():
                half = np.nan
            ends = (middle, middle - half, middle + half)
            rows[p] = tuple(float(np.exp(end)) - (p == "kappa") for end in ends)
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high"])


def likelihood_ratio_test(small: float, large: float, df: int) -> tuple[float, float]:
    """Statistic and p of twice the difference of two nested fits' log-likelihoods.

    Args:
        small, large: their log-likelihoods.
        df: how many coefficients the larger has more.
    """
    statistic = max(2 * (large - small), 0.0)
    return statistic, float(stats.chi2.sf(statistic, df))
