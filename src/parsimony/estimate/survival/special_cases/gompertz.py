"""The Gompertz: the hazard lambda phi exp(phi t) grows by a constant factor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class Gompertz(SpecialCase):
    """H(t) = lambda (exp(phi t) - 1)."""

    name: ClassVar = "gompertz"
    title: ClassVar = "Gompertz"
    formula: ClassVar = "lambda (exp(phi t) - 1)"
    source: ClassVar = "the limit kappa = infinity with gamma = 1"
    fixed: ClassVar = {"gamma": 1.0, "kappa": np.inf}
    unit_lambda: ClassVar = False

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(lam * np.expm1(phi * np.asarray(t, float)))
