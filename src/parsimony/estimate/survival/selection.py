"""Compare members of the family, and models M(...), by AIC or BIC.

AIC = 2p - 2l and BIC = p log n - 2l with n the number of rows, as the R package mpr has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from parsimony.estimate.errors import EstimatorInputError
from parsimony.estimate.survival.special_cases import special_cases

if TYPE_CHECKING:
    from parsimony.estimate.survival.regression import SurvivalRegressor

CRITERIA = ("bic", "aic")


def criterion(name: str) -> str:
    """``name``, if it is one of ``CRITERIA``.

    Raises:
        EstimatorInputError: it is not.
    """
    if name not in CRITERIA:
        raise EstimatorInputError("a criterion is 'bic' or 'aic'", got=name)
    return name


def families(structure: str) -> list[str]:
    """Members that stand for themselves under a structure: no mere region of another's kappa."""
    whole = special_cases()["apgw"].kappa
    return [
        name for name, case in special_cases().items()
        if case.kappa == whole and ("phi" if structure == "aft" else "lambda") in case.scales
    ]  # fmt: skip


def structures(scale: str, shape: str | None = None) -> dict[str, dict[str, Any]]:
    """Settings of M(tau), M(beta) and, with covariates in gamma too, M(tau, alpha), M(beta, alpha).

    Args:
        scale: formula of the scale parameter, phi or lambda.
        shape: formula of gamma; that of ``scale`` by default.
    """
    shape = scale if shape is None else shape
    return {
        f"M({', '.join((letter, *more))})": {
            "structure": structure,
            "formulas": {parameter: scale, **({"gamma": shape} if more else {})},
        }
        for more in ((), ("alpha",))
        for structure, parameter, letter in (("aft", "phi", "tau"), ("ph", "lambda", "beta"))
    }


def compare(
    estimator: SurvivalRegressor,
    X: Any,
    y: Any,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    by: str = "bic",
    sample_weight: Any = None,
) -> tuple[pd.DataFrame, dict[str, SurvivalRegressor]]:
    """Fit each setting to the same data.

    Args:
        estimator: whose other parameters are used.
        X, y, sample_weight: as for ``fit``.
        settings: parameters of the estimator, by the name of the row.
        by: ``"bic"`` or ``"aic"``.

    Returns:
        coefficients, log_likelihood, aic, bic, family (after limits) and refusal, the lowest first;
        and the fits by name. A setting that is refused says why and has no figures.
    """
    criterion(by)
    rows, fits = {}, {}
    for name, chosen in settings.items():
        one = clone(estimator).set_params(**chosen)
        try:
            one.fit(X, y, sample_weight)
        except EstimatorInputError as error:
            rows[name] = (np.nan, np.nan, np.nan, np.nan, "", str(error))
            continue
        fits[name] = one
        rows[name] = (
            one.coef_.size, one.log_likelihood_, one.aic_, one.bic_, one.family_, "",
        )  # fmt: skip
    columns = ["coefficients", "log_likelihood", "aic", "bic", "family", "refusal"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.sort_values([by, "coefficients"], kind="stable"), fits
