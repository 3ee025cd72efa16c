"""Errors of the estimators: ours, and ``ValueError`` as well, which scikit-learn expects."""

from __future__ import annotations

from parsimony.core.errors import DataError, InputError


class EstimatorInputError(InputError, ValueError):
    """A parameter of an estimator breaks a rule."""


class EstimatorDataError(DataError, ValueError):
    """The data of a fit or a prediction break a rule."""
