"""Mean of the last k months: a strong baseline on short, noisy series."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.estimate.demand.forecaster import Forecaster


class WindowMean(Forecaster):
    """y_(T+h) = mean of y_(T-k+1) ... y_T; equals statsforecast's ``WindowAverage``.

    Args:
        window: k, in months; all of a shorter history.
    """

    name: ClassVar[str] = "window-mean"
    quick: ClassVar[bool] = True

    def __init__(self, window: int = 3) -> None:
        self.window = window

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        mean = self.history_[series, -self.window :].mean(axis=1, keepdims=True)
        return np.repeat(mean, horizon, axis=1)
