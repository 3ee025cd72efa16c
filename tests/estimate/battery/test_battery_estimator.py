"""The calibrator: the estimator's contract, the truth within the interval, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_score

from parsimony.core import artifacts
from parsimony.core.errors import InputError
from parsimony.core.pages import Contours, Intervals
from parsimony.estimate.battery import discharge, page
from parsimony.estimate.battery.cell import Box
from parsimony.estimate.battery.estimator import BatteryCalibrator
from parsimony.estimate.battery.posterior import Posterior
from parsimony.testing.estimator_contract import EstimatorContract

NOISE = 0.0005
CURVE = discharge.simulate((1.0, 3.0), noise=NOISE, points=40, seed=3)
QUICK = BatteryCalibrator(noise=NOISE, warmup=6, draws=20)


class TestBatteryCalibrator(EstimatorContract):
    """What every estimator keeps."""

    estimator = QUICK

    def data(self) -> tuple[Any, Any]:
        return CURVE.times[:, None], CURVE.voltage


@pytest.fixture(scope="module")
def fitted() -> BatteryCalibrator:
    return clone(QUICK).fit(pd.DataFrame({"time": CURVE.times}), CURVE.voltage)


def test_the_intervals_hold_the_truth(fitted: BatteryCalibrator) -> None:
    low, high = fitted.intervals_.to_numpy().T
    assert (low < [1.0, 3.0]).all() and (high > [1.0, 3.0]).all()
    assert list(fitted.parameters_.index) == ["k1", "k2"]
    assert (fitted.standard_errors_ < [0.1, 0.3]).all()


def test_the_posterior_is_as_wide_as_the_information_says(fitted: BatteryCalibrator) -> None:
    told = fitted.identifiability_
    assert told.verdicts() == ["told", "told"]
    assert fitted.posterior_.sd == pytest.approx(told.standard_errors, rel=0.25)
    assert fitted.posterior_.correlation == pytest.approx(told.correlation, abs=0.05)


def test_the_band_holds_the_data(fitted: BatteryCalibrator) -> None:
    asked = pd.DataFrame({"time": CURVE.times})
    band = fitted.predict_band(asked)
    inside = (band["low"] <= CURVE.voltage) & (CURVE.voltage <= band["high"])
    assert inside.mean() > 0.85
    assert (band["high"] - band["low"]).mean() == pytest.approx(2 * 1.96 * NOISE, rel=0.15)
    assert np.array_equal(fitted.predict(asked), band["voltage"])
    assert fitted.score(asked, CURVE.voltage) > 0.9999


def test_rows_may_come_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(len(CURVE.times))
    quick = clone(QUICK).set_params(warmup=1, draws=4)
    plain, mixed = (
        clone(quick).fit(CURVE.times[rows, None], CURVE.voltage[rows])
        for rows in (np.arange(len(order)), order)
    )
    assert plain.summary_.equals(mixed.summary_)


def test_it_can_be_cross_validated() -> None:
    folds = KFold(2, shuffle=True, random_state=0)
    quick = clone(QUICK).set_params(warmup=2, draws=4)
    assert cross_val_score(quick, CURVE.times[:, None], CURVE.voltage, cv=folds).min() > 0.999


def test_the_noise_is_found() -> None:
    found = BatteryCalibrator(warmup=1, draws=4).fit(CURVE.times[:, None], CURVE.voltage)
    assert 0.001 <= found.sigma_ < 0.0017  # the smallest it looks for is 1 mV
    assert len(found.rounds_) == 5 and found.rounds_[0].sigma == 0.01


def test_a_surrogate_that_is_off_is_told(fitted: BatteryCalibrator) -> None:
    """Two posteriors, one of them moved by two standard deviations."""
    moved = clone(fitted)
    moved.__dict__.update(vars(fitted))
    off = fitted.posterior_.draws + 2 * fitted.posterior_.sd
    moved.check_ = Posterior(off, NOISE, Box(), "other", 4, 0.5, 0, 1.0)
    assert moved.agreement() == pytest.approx([2.0, 2.0], abs=1e-6)
    with pytest.raises(InputError, match="after fit with sampler='both'"):
        fitted.agreement()


def test_what_is_written_can_be_read(fitted: BatteryCalibrator, tmp_path: Path) -> None:
    fitted.write(tmp_path / "out")
    artifacts.verify(tmp_path / "out")
    found = json.loads((tmp_path / "out/calibration.json").read_text())
    assert found["parameters"]["k2"]["estimate"] == pytest.approx(fitted.parameters_["k2"])
    assert found["identifiability"]["k1"]["verdict"] == "told"
    draws = pd.read_csv(tmp_path / "out/draws.csv")
    assert draws["k1"].mean() == pytest.approx(fitted.parameters_["k1"])
    assert list(pd.read_csv(tmp_path / "out/band.csv")) == [
        "time", "measured", "voltage", "low", "high",
    ]  # fmt: skip


def test_it_draws_what_it_found(fitted: BatteryCalibrator) -> None:
    for drawing in (fitted.plot_sensitivity(), fitted.plot_posterior(), fitted.plot_voltage()):
        assert ElementTree.fromstring(drawing.svg).tag == "{http://www.w3.org/2000/svg}svg"
    measured = fitted.plot_residuals().figure.series[1]
    apart = 1e3 * (fitted.voltage_ - fitted.predict(fitted.times_[:, None]))
    assert np.allclose(measured.y, apart, atol=0.05)  # the mean of curves, not of parameters


def test_the_page_has_what_was_found(fitted: BatteryCalibrator) -> None:
    found = page.page(fitted, file="cell.csv")
    assert found.title == "Two parameters of the cell from 40 voltages of cell.csv"
    assert [s.title for s in found.sections] == [
        "What the curve can tell", "The posterior", "The data",
    ]  # fmt: skip
    kinds = [type(figure) for figure in found.sections[1].figures]
    assert kinds == [Intervals, Intervals, Contours]
    contours = found.sections[1].figures[2]
    assert isinstance(contours, Contours)
    # The least of -2 log likelihood is near the mean of the draws.
    z = np.array(contours.z)
    row, column = np.unravel_index(z.argmin(), z.shape)
    gap = np.abs([contours.xs[column], contours.ys[row]] - fitted.posterior_.mean)
    assert (gap < fitted.posterior_.sd).all()


def test_the_page_shows_a_surrogates_error(fitted: BatteryCalibrator) -> None:
    with_one = clone(fitted)
    with_one.__dict__.update(vars(fitted))
    with_one.surrogate_error_, with_one.error_left_ = np.full(40, 0.002), 1e-5
    last = page.page(with_one).sections[-1]
    assert last.title == "The surrogate" and "2.00 mV in the mean" in last.text
    assert "The curves that were sampled are 0.010 mV off" in last.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sampler": "mcmc"}, "unknown sampler, but got 'mcmc'. Known: both, solver, surrogate"),
        ({"sampler": "surrogate"}, "this sampler needs a trained surrogate"),
        ({"noise": 0.0}, "the noise must be a positive standard deviation"),
        ({"noise": 3.0}, "If these are millivolts, give 0.003"),
        ({"level": 1.0}, "the level must lie between 0 and 1"),
        ({"surrogate": "nowhere"}, "a surrogate is a folder with a surrogate.json"),
    ],
)
def test_what_it_cannot_do_is_said(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        clone(QUICK).set_params(**changes).fit(CURVE.times[:, None], CURVE.voltage)
    assert says in str(caught.value)


def test_bad_data_are_named() -> None:
    bad = CURVE.voltage.copy()
    bad[6] = np.nan
    with pytest.raises(InputError, match=r"the data, row 7, column 'voltage': every value must be"):
        clone(QUICK).fit(CURVE.times[:, None], bad)
    with pytest.raises(InputError, match=r"X must have one column, the times in seconds"):
        clone(QUICK).fit(np.ones((5, 2)), np.ones(5))


def test_times_beyond_the_discharge_are_not_predicted(fitted: BatteryCalibrator) -> None:
    with pytest.raises(InputError, match=r"times must lie in \[0, 1350\] s, but got 1400.0"):
        fitted.predict(pd.DataFrame({"time": [100.0, 1400.0]}))


@pytest.fixture(scope="module")
def surrogate() -> Any:
    """Random weights: its curves have the right start and nothing else."""
    from parsimony.estimate.battery import network
    from parsimony.estimate.battery.cell import Cell
    from parsimony.estimate.battery.surrogate import Surrogate

    weights = {name: 0.1 * w.numpy() for name, w in network.initial("merged", 0).items()}
    return Surrogate(Cell(), Box(), "merged", weights)


@pytest.mark.slow
def test_both_samplers_run_and_a_bad_surrogate_is_told(surrogate: Any) -> None:
    """It knows nothing of k2; with its error left on, the posteriors differ."""
    every = slice(None, None, 4)
    found = BatteryCalibrator(
        surrogate, "both", NOISE, corrected=False, chains=2, warmup=30, draws=30
    ).fit(CURVE.times[every, None], CURVE.voltage[every])  # fmt: skip
    assert found.posterior_.sampler == "NUTS on the surrogate"
    assert found.posterior_.draws.shape == (2, 30, 2)
    assert found.check_ is not None and found.check_.sampler == "ensemble on the solver"
    assert np.abs(found.surrogate_error_).mean() > 0.05
    assert any("believe the solver's" in text for text in found.diagnosis_)
    told = found.as_dict()
    assert told["surrogate_error_V"]["mean"] > 0.05 and told["check"]["distance_sd"]["k2"] > 0.3


def test_a_surrogate_of_other_physics_or_a_smaller_box_is_refused(surrogate: Any) -> None:
    def refused(changed: BatteryCalibrator) -> str:
        with pytest.raises(InputError) as caught:
            changed.fit(CURVE.times[:, None], CURVE.voltage)
        return str(caught.value)

    other = BatteryCalibrator(surrogate, noise=NOISE, kinetics="full")
    assert "was trained with linear kinetics, but got 'full'" in refused(other)
    small = dataclasses.replace(surrogate, box=Box((1.0, 2.0), (1.0, 2.0)))
    assert "must lie in the box k1 in [1, 2]" in refused(
        BatteryCalibrator(small, noise=NOISE, box=Box())
    )
    point = dataclasses.replace(surrogate, box=Box((0.5, 0.5), (1.0, 1.0)))
    assert "trained on a box, not on one point" in refused(BatteryCalibrator(point, noise=NOISE))
