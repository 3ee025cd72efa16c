"""The power generalised Weibull of Bagdonavicius and Nikulin, kappa > 0.

Rubio's packages write S = exp(1 - (1 + (t/sigma)^nu)^(1/g)): kappa = 1/g, gamma = nu,
phi = (kappa+1)^(1/nu)/sigma, and lambda = kappa/(kappa+1), which moves with kappa. The R package
mpr writes H = l ((1 + t^g)^r - 1): kappa = r, gamma = g, phi = (r+1)^(1/g), lambda = l r/(r+1).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class PGW(SpecialCase):
    """H(t) = l [(1 + z/(kappa+1))^kappa - 1]: l is 1 under AFT and carries covariates under PH."""

    name: ClassVar = "pgw"
    title: ClassVar = "power generalised Weibull"
    formula: ClassVar = "l [(1 + z/(kappa+1))^kappa - 1]"
    source: ClassVar = "lambda = l kappa/(kappa+1), kappa > 0; Bagdonavicius and Nikulin (2002)"
    kappa: ClassVar = (1e-6, np.inf)
    tied: ClassVar = True

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t) with l in the place of lambda."""
        z = (phi * np.asarray(t, float)) ** gamma
        return np.asarray(lam * ((1 + z / (kappa + 1)) ** kappa - 1))
