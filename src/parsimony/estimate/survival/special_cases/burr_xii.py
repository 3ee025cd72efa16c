"""The Burr XII: a log-logistic whose hazard is multiplied.

The R package mpr writes H = (1/r) log(1 + l r t^g): lambda = 1/r, phi = (l r)^(1/g), gamma = g.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from parsimony.estimate.survival.special_cases.base import Array, SpecialCase


class BurrXII(SpecialCase):
    """H(t) = lambda log(1 + z)."""

    name: ClassVar = "burr-xii"
    title: ClassVar = "Burr XII"
    formula: ClassVar = "lambda log(1 + z)"
    source: ClassVar = "the limit kappa = 0"
    fixed: ClassVar = {"kappa": 0.0}
    unit_lambda: ClassVar = False

    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t)."""
        return np.asarray(lam * np.log1p((phi * np.asarray(t, float)) ** gamma))
