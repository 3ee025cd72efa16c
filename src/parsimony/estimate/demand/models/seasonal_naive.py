"""Seasonal naive: the same month a year before; needs a year of history."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.core.errors import InputError
from parsimony.estimate.demand.forecaster import Forecaster


class SeasonalNaive(Forecaster):
    """y_(T+h) = y_(T+h-m); equals statsforecast's ``SeasonalNaive``, for all series at once.

    Args:
        season: m, in months.
    """

    name: ClassVar[str] = "seasonal-naive"
    quick: ClassVar[bool] = True

    def __init__(self, season: int = 12) -> None:
        self.season = season

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        if self.history_.shape[1] < self.season:
            raise InputError(f"seasonal-naive needs {self.season} months of history",
                             got=self.history_.shape[1])  # fmt: skip
        last = self.history_[series, -self.season :]
        return last[:, np.arange(horizon) % self.season]
