"""Naive: the last month again. The one that every other must beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.estimate.demand.forecaster import Forecaster


class Naive(Forecaster):
    """y_(T+h) = y_T; equals statsforecast's ``Naive``, for all series at once."""

    name: ClassVar[str] = "naive"
    quick: ClassVar[bool] = True

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        return np.repeat(self.history_[series, -1:], horizon, axis=1)
