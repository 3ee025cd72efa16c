"""The exponential power: an extended Gompertz with lambda = 1; a bathtub where gamma < 1."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class ExponentialPower(SpecialCase):
    """H(t) = exp(z) - 1."""

    name: ClassVar = "exponential-power"
    title: ClassVar = "exponential power"
    formula: ClassVar = "exp(z) - 1"
    source: ClassVar = "the limit kappa = infinity with lambda = 1; Smith and Bain (1975)"
    fixed: ClassVar = {"lambda": 1.0, "kappa": np.inf}
    scales: ClassVar = ("phi",)
    instead: ClassVar = "'extended-gompertz', which frees lambda"

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(np.expm1((phi * np.asarray(t, float)) ** gamma))
