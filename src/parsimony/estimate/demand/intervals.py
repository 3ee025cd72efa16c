"""Intervals by split conformal prediction across series.

A calibration error is divided by the series' scale s (mean |y_t - y_(t-1)| of the months that the
calibration may see, or 1 for a series that never moved), and pooled over the series of a cell
(rare, break, other) for each step ahead. The ends are

    forecast + s q_low,  forecast + s q_high

with the (1 - level) / 2 and 1 - (1 - level) / 2 quantiles of the n pooled errors, by the conformal
ranks ceil((n + 1) ...). Series are taken as exchangeable, months are not: the rolling origins of
the calibration lie before the test, so coverage on it is measured, not promised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsimony.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Conformal:
    """Quantiles of scaled errors.

    Attributes:
        level: in (0, 1).
        scale: shape (series,).
        cells: label of each series, shape (series,), of those that were calibrated.
        low, high: quantiles of (actual - forecast) / scale by cell, each of shape (horizon,).
    """

    level: float
    scale: np.ndarray
    cells: np.ndarray
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]

    @classmethod
    def fit(
        cls,
        actual: np.ndarray,
        forecast: np.ndarray,
        scale: np.ndarray,
        cells: np.ndarray,
        level: float = 0.9,
    ) -> Conformal:
        """Calibrate.

        Args:
            actual, forecast: shape (series, windows, horizon), of rolling origins.
            scale: shape (series,); a 0 counts as 1.
            cells: shape (series,).
            level: share of values that the interval should hold.

        Raises:
            InputError: a level outside (0, 1).
        """
        if not 0 < level < 1:
            raise InputError("the level of an interval must be in (0, 1)", got=level)
        scale = np.where(scale > 0, scale, 1.0)
        errors = (actual - forecast) / scale[:, None, None]
        low, high = {}, {}
        for name in sorted(set(cells)):
            pooled = errors[cells == name].reshape(-1, errors.shape[2])
            n = len(pooled)
            rank = min(1.0, np.ceil((n + 1) * (1 + level) / 2) / n)
            high[name] = np.quantile(pooled, rank, axis=0, method="inverted_cdf")
            low[name] = -np.quantile(-pooled, rank, axis=0, method="inverted_cdf")
        return cls(level, scale, cells, low, high)

    def ends(self, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both ends around a forecast of shape (series, ..., horizon).

        They are NaN beyond the calibrated steps. None is below 0, unless the forecast is.
        """
        steps = np.arange(forecast.shape[-1])
        found = []
        for quantiles in (self.low, self.high):
            names, codes = np.unique(self.cells, return_inverse=True)
            known = np.stack([quantiles[name] for name in names])
            whole = np.full((len(names), len(steps)), np.nan)
            width = min(len(steps), known.shape[1])
            whole[:, :width] = known[:, :width]
            q = whole[codes] * self.scale[:, None]
            q = q.reshape(len(q), *[1] * (forecast.ndim - 2), -1)
            found.append(np.maximum(np.minimum(0, forecast), forecast + q))
        return found[0], found[1]


def coverage(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of the values inside their interval."""
    return float(((low <= actual) & (actual <= high)).mean())
