"""Simple exponential smoothing with a fixed weight, from month 0.

    l_1 = y_1,  l_t = alpha y_t + (1 - alpha) l_(t-1),  y_(T+h) = l_T

A fixed weight for all series cannot be wrong for one of them by much, and needs no fit.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.estimate.demand.forecaster import Forecaster


class SES(Forecaster):
    """Equals statsforecast's ``SimpleExponentialSmoothing``, for all series at once.

    Args:
        alpha: in (0, 1].
    """

    name: ClassVar[str] = "ses"
    quick: ClassVar[bool] = True

    def __init__(self, alpha: float = 0.5) -> None:
        self.alpha = alpha

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        y = self.history_[series]
        age = np.arange(y.shape[1])[::-1]
        weights = self.alpha * (1 - self.alpha) ** age
        weights[0] = (1 - self.alpha) ** age[0]  # the first level is the first month
        return np.repeat((y @ weights)[:, None], horizon, axis=1)
