"""The plan of a pre-training run stands on the fit it says it does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.core.fitting import fit
from parsimony.plan.cluster import hardware, layouts
from parsimony.plan.cluster.pretraining import ASPECTS, gpt_of
from parsimony.plan.cluster.training import Training
from parsimony.plan.laws import law
from parsimony.plan.laws.chinchilla import epoch_runs
from parsimony.plan.pretraining import (
    COVARIANCE,
    RANGES,
    RESIDUALS,
    THETA,
    loss_curve,
    plan_pretraining,
    rates,
)

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


@pytest.mark.parametrize("params", [1e8, 1e9, 7e9, 1.75e11])
def test_a_gpt_stands_for_a_number_of_parameters(params: float) -> None:
    shape = gpt_of(params, 2048)
    assert shape.parameters == pytest.approx(params, rel=0.1)
    assert ASPECTS[0] <= shape.hidden / shape.layers <= ASPECTS[1]


def test_hardware_adds_what_its_planner_says() -> None:
    machine = hardware.load("dgx-h100").part(8)
    found, notes = plan_pretraining(params=1e9, tokens=2e10, cluster=machine)
    sequences = 2 ** round(np.log2(found.loc["batch_tokens", "value"] / 2048))
    best = layouts.plan(gpt_of(1e9, 2048), machine, Training(sequences, 2048)).iloc[0]
    steps = -(-20_000_000_000 // (sequences * 2048))
    value = found["value"]
    assert value["memory_bytes"] == best["memory"]
    assert value["seconds"] == pytest.approx(steps * best["seconds"], rel=1e-12)
    assert value["joules"] == pytest.approx(8 * 700 * value["seconds"], rel=1e-12)
    assert np.isnan(found.loc["seconds", ["low", "high"]].astype(float)).all()
    assert "no interval: the efficiency is an assumption" in notes[-1]
    bare, told = plan_pretraining(
        params=1e9, tokens=2e10, cluster=machine.model_copy(update={"power_watts": None})
    )
    assert "joules" not in bare.index
    assert any("dgx-h100 says nothing of power_watts" in note for note in told)


def test_power_has_a_cap_and_the_batch_of_the_step_law() -> None:
    power, _ = plan_pretraining(params=1e9, tokens=2e10, schedule="power")
    wsd, _ = plan_pretraining(params=1e9, tokens=2e10, schedule="wsd")
    assert power.loc["learning_rate", "value"] == 0.02
    assert power.loc["batch_tokens"].equals(wsd.loc["batch_tokens"])


def test_the_curve_ends_at_the_loss_of_the_plan() -> None:
    found, _ = plan_pretraining(params=1e9, tokens=2e10)
    curve = loss_curve(1e9, 2e10)
    assert curve["loss"].is_monotonic_decreasing
    assert curve["loss"].iloc[-1] == pytest.approx(found.loc["loss", "value"], rel=1e-12)


def test_without_torch_the_plan_says_why_it_has_no_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = plan_pretraining(params=1e9, tokens=2e10)
    monkeypatch.setitem(sys.modules, "torch", None)
    told, reason = rates("wsd", found["value"], [1e9, 2e9])
    assert np.isnan(told).all() and len(told) == 2
    assert reason == (
        "this needs the package 'torch'. Install it with: pip install 'parsimony-ml[adapt]'"
    )
