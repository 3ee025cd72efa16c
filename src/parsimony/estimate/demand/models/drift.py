"""Drift: the last month, and on along the line from the first to the last."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.estimate.demand.forecaster import Forecaster


class Drift(Forecaster):
    """y_(T+h) = y_T + h (y_T - y_1) / (T - 1); equals statsforecast's ``RandomWalkWithDrift``."""

    name: ClassVar[str] = "drift"
    quick: ClassVar[bool] = True

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        y = self.history_[series]
        slope = (y[:, -1:] - y[:, :1]) / (y.shape[1] - 1)
        return y[:, -1:] + slope * np.arange(1, horizon + 1)
