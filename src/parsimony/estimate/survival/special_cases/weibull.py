"""The Weibull: AFT and PH at once.

lifelines' ``lambda_`` is 1/phi and its ``rho_`` is gamma.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class Weibull(SpecialCase):
    """H(t) = (phi t)^gamma."""

    name: ClassVar = "weibull"
    title: ClassVar = "Weibull"
    formula: ClassVar = "(phi t)^gamma"
    source: ClassVar = "kappa = 1"
    fixed: ClassVar = {"kappa": 1.0}
    one_scale: ClassVar = True

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(lam * (phi * np.asarray(t, float)) ** gamma)
