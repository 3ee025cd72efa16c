"""The linear hazard lambda phi (1 + phi t/3)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class LinearHazard(SpecialCase):
    """H(t) = lambda (phi t + (phi t)^2/6)."""

    name: ClassVar = "linear-hazard"
    title: ClassVar = "linear hazard"
    formula: ClassVar = "lambda (phi t + (phi t)^2/6)"
    source: ClassVar = "kappa = 2, gamma = 1"
    fixed: ClassVar = {"gamma": 1.0, "kappa": 2.0}
    unit_lambda: ClassVar = False

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(
            lam * (phi * np.asarray(t, float) + (phi * np.asarray(t, float)) ** 2 / 6)
        )
