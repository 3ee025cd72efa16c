"""The adapted power generalised Weibull itself, with kappa anywhere above -1."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class APGW(SpecialCase):
    """H(t) = lambda (kappa+1)/kappa [(1 + z/(kappa+1))^kappa - 1]."""

    name: ClassVar = "apgw"
    title: ClassVar = "adapted power generalised Weibull"
    formula: ClassVar = "lambda (kappa+1)/kappa [(1 + z/(kappa+1))^kappa - 1]"
    source: ClassVar = "Burke, Jones and Noufaily (2020)"

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t), for kappa other than 0 and infinity."""
        z = (phi * np.asarray(t, float)) ** gamma
        return np.asarray(lam * (kappa + 1) / kappa * ((1 + z / (kappa + 1)) ** kappa - 1))
