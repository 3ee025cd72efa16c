"""The cure model of the family: kappa between -1 and 0, a hazard whose sum is bounded."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class Cure(SpecialCase):
    """H(t) = -lambda (kappa+1)/kappa [1 - (1 + z/(kappa+1))^kappa], never above its limit."""

    name: ClassVar = "cure"
    title: ClassVar = "cure model"
    formula: ClassVar = "-lambda (kappa+1)/kappa [1 - (1 + z/(kappa+1))^kappa]"
    source: ClassVar = "-1 < kappa < 0; the share exp(lambda (kappa+1)/kappa) is cured"
    kappa: ClassVar = (-1.0, -1e-6)
    plateau: ClassVar = True

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        limit = -lam * (kappa + 1) / kappa
        z = (phi * np.asarray(t, float)) ** gamma
        return np.asarray(limit * (1 - (1 + z / (kappa + 1)) ** kappa))
