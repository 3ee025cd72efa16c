"""The estimator: scikit-learn's contract, lifelines' numbers, predictions, kinds of censoring."""

from __future__ import annotations

from typing import Any

import lifelines
import numpy as np
import pandas as pd
import pytest
from lifelines import datasets
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from parsimony.estimate.survival import SurvivalRegressor, compare, family, structures
from parsimony.papers.cards.survival import RIGHT_CENSORED
from parsimony.testing.estimator_contract import EstimatorContract

WALTONS = datasets.load_waltons()
Y = WALTONS[["T", "E"]].set_axis(["time", "event"], axis=1)
GROUP = WALTONS[["group"]]
ROSSI = datasets.load_rossi()
ROSSI_Y = ROSSI[["week", "arrest"]].set_axis(["time", "event"], axis=1)


class TestWeibull(EstimatorContract):
    estimator = SurvivalRegressor("weibull", formulas={"phi": "age + fin", "gamma": "fin"})

    def data(self) -> tuple[Any, Any]:
        return ROSSI[["age", "fin"]], ROSSI_Y


class TestFamily(EstimatorContract):
    estimator = SurvivalRegressor(structure="ph", formulas={"lambda": "group"}, random_state=3)

    def data(self) -> tuple[Any, Any]:
        return GROUP, Y.to_records(index=False)


class TestProfile(EstimatorContract):
    estimator = SurvivalRegressor("weibull", interval="profile")

    def data(self) -> tuple[Any, Any]:
        return GROUP, Y


def _outcome(name: str) -> pd.DataFrame:
    table = getattr(datasets, f"load_{name}")()
    found = table[[*RIGHT_CENSORED[name]]].set_axis(["time", "event"], axis=1)
    return found[found["time"] > 0]


@pytest.mark.parametrize("name", sorted(RIGHT_CENSORED))
def test_lifelines_fits_are_found_on_its_own_data(name: str) -> None:
    y = _outcome(name)
    cases = {
        "weibull": ("WeibullFitter", "lambda_", "rho_"),
        "log-logistic": ("LogLogisticFitter", "alpha_", "beta_"),
        "exponential": ("ExponentialFitter", "lambda_", None),
    }
    for family_name, (peer, scale, shape) in cases.items():
        theirs = getattr(lifelines, peer)().fit(y["time"], y["event"])
        ours = SurvivalRegressor(family_name).fit(None, y)
        assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-5)
        at = ours.parameters_["estimate"]
        assert 1 / at["phi"] == pytest.approx(getattr(theirs, scale), rel=1e-4)
        if shape:
            assert at["gamma"] == pytest.approx(getattr(theirs, shape), rel=1e-4)


def test_a_regression_is_lifelines() -> None:
    theirs = lifelines.WeibullAFTFitter().fit(ROSSI, "week", "arrest", ancillary=False)
    columns = ROSSI.drop(columns=["week", "arrest"])
    ours = SurvivalRegressor("weibull").fit(columns, ROSSI_Y)
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-5)
    for name in columns:
        assert -ours.coef_["phi", name] == pytest.approx(theirs.params_["lambda_", name], abs=1e-4)
        error = theirs.standard_errors_["lambda_", name]
        assert ours.standard_errors_["phi", name] == pytest.approx(error, rel=1e-3)
    assert ours.concordance(columns, ROSSI_Y) == pytest.approx(theirs.concordance_index_, abs=1e-6)
    median = theirs.predict_median(ROSSI).to_numpy()
    np.testing.assert_allclose(ours.predict(columns), median, rtol=1e-3)


def test_left_truncation_is_lifelines() -> None:
    y = Y.assign(entry=np.minimum(WALTONS["T"] / 3, 10.0))
    theirs = lifelines.WeibullFitter().fit(y["time"], y["event"], entry=y["entry"])
    ours = SurvivalRegressor("weibull").fit(None, y)
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-5)


def test_intervals_are_lifelines() -> None:
    table = datasets.load_diabetes()
    y = table[["left", "right"]].set_axis(["lower", "upper"], axis=1)
    theirs = lifelines.WeibullFitter().fit_interval_censoring(table["left"], table["right"])
    ours = SurvivalRegressor("weibull").fit(None, y)
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-4)
    assert ours.score(table[[]], y) * len(y) == pytest.approx(ours.log_likelihood_, abs=1e-6)


def test_scikit_learns_own_checks() -> None:
    reasons = {
        "check_sample_weights_pandas_series": "its two columns are equal, which is refused",
        "check_sample_weight_equivalence_on_dense_data": "it has more columns than rows",
    }
    told = check_estimator(
        SurvivalRegressor("weibull"), on_fail=None, on_skip=None, expected_failed_checks=reasons
    )
    failed = {t["check_name"]: t["exception"] for t in told if t["status"] == "failed"}
    assert not failed, failed


def test_pipelines_search_and_cross_validation() -> None:
    columns = ROSSI[["age", "prio"]]
    scaled = make_column_transformer((StandardScaler(), ["age", "prio"]))
    pipe = make_pipeline(scaled, SurvivalRegressor("weibull")).set_output(transform="pandas")
    told = cross_validate(pipe, columns, ROSSI_Y, cv=3)
    assert np.isfinite(told["test_score"]).all()
    search = GridSearchCV(
        SurvivalRegressor(), {"family": ["weibull", "exponential"]}, cv=3
    ).fit(columns, ROSSI_Y)  # fmt: skip
    assert search.best_params_["family"] == "weibull"


@pytest.mark.parametrize("factor", [1 / 30.4375, 1000.0])
def test_the_unit_of_time_changes_nothing(factor: float) -> None:
    days = SurvivalRegressor(formulas={"phi": "group", "gamma": "group"}).fit(GROUP, Y)
    other = SurvivalRegressor(formulas={"phi": "group", "gamma": "group"}).fit(
        GROUP, Y.assign(time=Y["time"] * factor)
    )
    moved = other.log_likelihood_ + Y["event"].sum() * np.log(factor)
    assert moved == pytest.approx(days.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(other.predict(GROUP) / factor, days.predict(GROUP), rtol=1e-5)


def test_a_far_off_covariate_does_no_harm() -> None:
    plain = SurvivalRegressor("weibull").fit(ROSSI[["age"]], ROSSI_Y)
    far = SurvivalRegressor("weibull").fit(1e6 + 1e3 * ROSSI[["age"]], ROSSI_Y)
    assert far.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-6)
    assert far.coef_["phi", "age"] * 1e3 == pytest.approx(plain.coef_["phi", "age"], rel=1e-6)


def test_weights_are_repeated_rows() -> None:
    weights = np.arange(len(Y)) % 3
    rows = np.repeat(np.arange(len(Y)), weights)
    weighted = SurvivalRegressor("burr-xii", "ph").fit(GROUP, Y, sample_weight=weights)
    repeated = SurvivalRegressor("burr-xii", "ph").fit(GROUP.iloc[rows], Y.iloc[rows])
    assert weighted.log_likelihood_ == pytest.approx(repeated.log_likelihood_, abs=1e-6)
    assert weighted.bic_ == pytest.approx(repeated.bic_, abs=1e-6)


def test_equal_rows_are_counted_once() -> None:
    many = np.tile(np.arange(len(Y)), 60)
    few = SurvivalRegressor("weibull").fit(GROUP, Y)
    tiled = SurvivalRegressor("weibull").fit(GROUP.iloc[many], Y.iloc[many])
    assert tiled._fitted.model.likelihood.rows < 200
    assert tiled.log_likelihood_ == pytest.approx(60 * few.log_likelihood_, abs=1e-4)


def test_bands_hold_their_estimates_and_agree_with_draws() -> None:
    fit = SurvivalRegressor("weibull", formulas={"phi": "group", "gamma": "group"}).fit(GROUP, Y)
    rows = GROUP.iloc[[0, -1]]
    survivor = fit.predict_survival(rows, [0.0, 20.0, 40.0], bands=True)
    hazard = fit.predict_hazard(rows, [20.0, 40.0], bands=True)
    quantile = fit.predict_quantile(rows, [0.25, 0.5])
    for table in (survivor, hazard, quantile):
        assert (table["low"] <= table["estimate"]).all() and (
            table["estimate"] <= table["high"]
        ).all()
    assert survivor.loc[(0, 0.0)].tolist() == [1.0, 1.0, 1.0]
    # The delta method against draws of the coefficients.
    drawn = np.random.default_rng(0).multivariate_normal(fit.coef_, fit.covariance_, 4000)
    log_h = family.log_hazard(20.0, np.exp(drawn[:, 0] + drawn[:, 1]), 1.0,
                              np.exp(drawn[:, 2] + drawn[:, 3]), 1.0)  # fmt: skip
    treated = GROUP.index[GROUP["group"] == "miR-137"][:1]
    told = fit.predict_hazard(GROUP.loc[treated], [20.0], bands=True).iloc[0]
    assert np.std(log_h) * 1.96 == pytest.approx(np.log(told["high"] / told["estimate"]), rel=0.1)


def test_a_hazard_ratio_of_proportional_hazards_is_constant() -> None:
    fit = SurvivalRegressor("gompertz", "ph").fit(GROUP, Y)
    ratio = fit.hazard_ratio({"group": "miR-137"}, {"group": "control"}, [5, 20, 60])
    slope = fit.summary_.loc[("lambda", "group[T.miR-137]")]
    expected = np.exp(slope[["estimate", "low", "high"]].to_numpy(float))
    np.testing.assert_allclose(ratio.to_numpy(), np.tile(expected, (3, 1)), rtol=1e-8)


def test_profile_intervals_end_where_a_ratio_test_rejects() -> None:
    wald = SurvivalRegressor("weibull").fit(GROUP, Y)
    fit = SurvivalRegressor("weibull", interval="profile").fit(GROUP, Y)
    name = ("phi", "group[T.miR-137]")
    place = fit._fitted.place(*name)
    for end in fit.summary_.loc[name, ["low", "high"]]:
        lost = fit.log_likelihood_ - fit._fitted.profile(place, end)[0]
        assert 2 * lost == pytest.approx(3.8415, abs=1e-3)
    assert fit.summary_.loc[name, "low"] == pytest.approx(wald.summary_.loc[name, "low"], abs=0.02)
    none = SurvivalRegressor("weibull", formulas={"phi": "1"}).fit(GROUP, Y)
    assert none.likelihood_ratio_test(fit)["p"] == pytest.approx(fit.summary_.loc[name, "p"])


def test_selection_puts_the_truth_first() -> None:
    times = family.simulate(np.random.default_rng(1), 0.1, 0.4, 1.0, np.inf, size=2000)
    fit = SurvivalRegressor("auto").fit(None, times)
    assert fit.family_ == "gompertz"
    assert fit.selection_["bic"].is_monotonic_increasing
    assert not hasattr(fit.set_params(family="weibull").fit(None, times), "selection_")
    table, _ = compare(SurvivalRegressor(), GROUP, Y, structures("group"), by="aic")
    assert table.index[0] == "M(beta, alpha)"
    assert table["aic"].iloc[0] == pytest.approx(1195.461, abs=1e-3)


def test_the_cured_share_is_found() -> None:
    random = np.random.default_rng(2)
    times = family.simulate(random, 1.0, 1.0, 3.0, -0.8, size=4000)
    y = pd.DataFrame({"time": np.minimum(times, 60.0), "event": times <= 60})
    fit = SurvivalRegressor("cure").fit(None, y)
    assert fit.cured_["low"] < np.exp(-0.25) < fit.cured_["high"]
    assert not fit.diagnosis_
    assert np.isinf(fit.predict_quantile(y[[]].iloc[:1], 0.95)["estimate"].iloc[0])
    assert SurvivalRegressor("weibull").fit(None, y).cured_.tolist() == [0, 0, 0]


def test_residuals_of_a_right_fit() -> None:
    fit = SurvivalRegressor(structure="ph", formulas={"lambda": "group", "gamma": "group"})
    told = fit.fit(GROUP, Y).residuals()
    assert told["cox_snell"].sum() == pytest.approx(Y["event"].sum(), rel=1e-6)
    assert told["martingale"].mean() == pytest.approx(0, abs=1e-8)
    assert told["deviance"].abs().max() < 4


def test_figures_are_drawn() -> None:
    fit = SurvivalRegressor("weibull", formulas={"phi": "group", "gamma": "group"}).fit(GROUP, Y)
    pair = ({"group": "miR-137"}, {"group": "control"})
    drawn = [
        fit.plot_survival("group"), fit.plot_hazard(), fit.plot_hazard_ratio(*pair),
        fit.plot_profile("gamma", "group[T.miR-137]"), fit.plot_residuals(),
    ]  # fmt: skip
    for one in drawn:
        assert one.svg.startswith("<svg xmlns") and one.figure.title in one.svg
    assert "group = control" in drawn[0].svg


def test_predictions_go_into_scikit_survivals_metrics() -> None:
    metrics = pytest.importorskip("sksurv.metrics")
    columns = ROSSI[["age", "prio"]]
    fit = SurvivalRegressor("weibull").fit(columns, ROSSI_Y)
    y = ROSSI_Y[["event", "time"]].astype({"event": bool, "time": float}).to_records(index=False)
    times = np.arange(5.0, 50.0, 5.0)
    told = fit.predict_survival(columns, times).to_numpy()
    none = SurvivalRegressor("weibull", formulas={"phi": "1"}).fit(columns, ROSSI_Y)
    flat = none.predict_survival(columns, times).to_numpy()
    brier = [metrics.integrated_brier_score(np.asarray(y), np.asarray(y), s, times)
             for s in (told, flat)]  # fmt: skip
    assert brier[0] < brier[1] < 0.25
    harrell = metrics.concordance_index_censored(y["event"], y["time"], -told[:, 4])[0]
    assert fit.concordance(columns, ROSSI_Y) == pytest.approx(harrell, abs=1e-6)
