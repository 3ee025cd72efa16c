"""The exponential: a constant hazard."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class Exponential(SpecialCase):
    """H(t) = phi t."""

    name: ClassVar = "exponential"
    title: ClassVar = "exponential"
    formula: ClassVar = "phi t"
    source: ClassVar = "kappa = gamma = 1"
    fixed: ClassVar = {"gamma": 1.0, "kappa": 1.0}
    one_scale: ClassVar = True

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(lam * phi * np.asarray(t, float))
