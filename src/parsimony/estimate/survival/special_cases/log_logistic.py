"""The log-logistic: proportional odds, a hazard that may rise and fall.

lifelines' ``alpha_`` is 1/phi and its ``beta_`` is gamma.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class LogLogistic(SpecialCase):
    """H(t) = log(1 + z)."""

    name: ClassVar = "log-logistic"
    title: ClassVar = "log-logistic"
    formula: ClassVar = "log(1 + z)"
    source: ClassVar = "the limit kappa = 0 with lambda = 1"
    fixed: ClassVar = {"lambda": 1.0, "kappa": 0.0}
    scales: ClassVar = ("phi",)
    instead: ClassVar = "'burr-xii', which frees lambda"

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(np.log1p((phi * np.asarray(t, float)) ** gamma))
