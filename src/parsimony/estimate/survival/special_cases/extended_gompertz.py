"""The extended Gompertz: a Gompertz in t^gamma."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class ExtendedGompertz(SpecialCase):
    """H(t) = lambda (exp(z) - 1)."""

    name: ClassVar = "extended-gompertz"
    title: ClassVar = "extended Gompertz"
    formula: ClassVar = "lambda (exp(z) - 1)"
    source: ClassVar = "the limit kappa = infinity"
    fixed: ClassVar = {"kappa": np.inf}
    unit_lambda: ClassVar = False

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(lam * np.expm1((phi * np.asarray(t, float)) ** gamma))
