"""Residuals of right-censored rows: Cox and Snell's, martingale and deviance.

Cox-Snell   r = H(t) - H(entry)          censored draws of the unit exponential if the fit is right
martingale  m = d - r                    mean 0; against a covariate it shows a missing curve
deviance    sign(m) sqrt(-2 [m + d log(d - m)])     about normal; large ones are outliers
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from parsimony.estimate.errors import EstimatorInputError
from parsimony.estimate.survival import family
from parsimony.estimate.survival.family import Array
from parsimony.estimate.survival.outcome import Outcome


def residuals(outcome: Outcome, parameters: dict[str, Array]) -> pd.DataFrame:
    """Columns cox_snell, martingale and deviance, one row for each of the n.

    Args:
        outcome: n rows, none of which is an interval.
        parameters: phi, lambda, gamma and kappa of each, [n].

    Raises:
        EstimatorInputError: a row is an interval, which has no such residual.
    """
    if outcome.within.any():
        raise EstimatorInputError(
            "residuals are those of exact or right-censored times, but there are intervals",
            got=int(outcome.within.sum()), hint="Leave these rows out",
        )  # fmt: skip
    at = tuple(parameters.values())
    cumulative = family.cumulative_hazard(outcome.time, *at)
    if outcome.entry is not None:
        cumulative = cumulative - family.cumulative_hazard(outcome.entry, *at)
    martingale = outcome.event - cumulative
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(outcome.event == 1, np.log(cumulative), 0.0)
    deviance = np.sign(martingale) * np.sqrt(np.maximum(-2 * (martingale + inner), 0.0))
    return pd.DataFrame({"cox_snell": cumulative, "martingale": martingale, "deviance": deviance})
