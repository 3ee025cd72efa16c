"""Survival: a four-parameter family of times to an event, with covariates on any parameter.

``SurvivalRegressor`` is the estimator; ``special_cases`` the named members of the family;
``compare`` and ``structures`` choose among them; ``family`` has the formulas themselves.
"""

from __future__ import annotations

from parsimony.estimate.survival.outcome import Outcome
from parsimony.estimate.survival.regression import SurvivalRegressor
from parsimony.estimate.survival.selection import compare, structures
from parsimony.estimate.survival.special_cases import special_case, special_cases

__all__ = [
    "Outcome",
    "SurvivalRegressor",
    "compare",
    "special_case",
    "special_cases",
    "structures",
]
