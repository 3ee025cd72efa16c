"""The plan of a pre-training run stands on the fit it says it does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.core.fitting import fit
from parsimony.plan.laws import law
from parsimony.plan.laws.chinchilla import epoch_runs
from parsimony.plan.pretraining import COVARIANCE, RANGES, RESIDUALS, THETA, plan_pretraining

POINTS = Path(os.environ["PARSIMONY_DATA"]) / "chinchilla_epoch_extracted_245.csv"


def test_twice_the_compute_is_more_of_both_and_less_loss() -> None:
    small, _ = plan_pretraining(compute=1e20)
    large, _ = plan_pretraining(compute=2e20)
    assert (large["value"] / small["value"]).drop(["loss", "learning_rate"]).min() > 1.2
    assert large.loc["loss", "value"] < small.loc["loss", "value"]


def test_another_law_has_no_split() -> None:
    table = pd.DataFrame({"N": [1e6, 1e7, 1e8, 1e9], "loss": [4.0, 3.4, 2.9, 2.5]})
    with pytest.raises(InputError, match=r"needs a Chinchilla law of N and D, but got 'kaplan-si"):
        plan_pretraining(compute=1e20, fitted=fit(law("kaplan-size"), table, bootstraps=2))


@pytest.mark.skipif(not POINTS.is_file(), reason="needs the table that Epoch AI read off")
def test_the_stored_fit_is_that_of_the_table() -> None:
    found = fit(law("chinchilla"), epoch_runs(pd.read_csv(POINTS)), bootstraps=4000)
    assert found.theta == pytest.approx(THETA, rel=1e-6)
    assert np.cov(found.draws.T) == pytest.approx(np.array(COVARIANCE), rel=1e-3, abs=1e-6)
    quantiles = np.quantile(found.residuals, (np.arange(20) + 0.5) / 20)
    assert quantiles == pytest.approx(np.array(RESIDUALS), abs=1e-5)
    for name, bounds in RANGES.items():
        assert found.ranges[name] == pytest.approx(bounds, rel=1e-3)
