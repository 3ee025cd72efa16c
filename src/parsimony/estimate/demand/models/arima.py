"""ARIMA(1,1,1) on demand + 1, minus 1 after, as the official code does.

A few milliseconds for each series and origin, so it is not for a hundred thousand of them. A series
on which its likelihood has no maximum gets the naive forecast, and ``failed_`` counts those.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.estimate.demand.forecaster import Forecaster, statsforecast


class ARIMA(Forecaster):
    """statsforecast's ``ARIMA`` of order (1, 1, 1)."""

    name: ClassVar[str] = "arima"

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        model = statsforecast().ARIMA(order=(1, 1, 1))
        found = np.repeat(self.history_[series, -1:], horizon, axis=1)
        self.failed_ = 0
        for place, row in enumerate(self.history_[series]):
            try:
                mean = model.forecast(y=row + 1, h=horizon)["mean"]
            except (ValueError, np.linalg.LinAlgError):
                mean = np.full(horizon, np.nan)
            if np.isfinite(mean).all():
                found[place] = mean - 1
            else:
                self.failed_ += 1
        return found
