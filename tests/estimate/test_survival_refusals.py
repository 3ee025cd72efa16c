"""What the survival estimator refuses, and what it says about a fit that went to an edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import datasets

from parsimony.estimate.errors import EstimatorDataError, EstimatorInputError
from parsimony.estimate.survival import SurvivalRegressor, family

WALTONS = datasets.load_waltons()
Y = WALTONS[["T", "E"]].set_axis(["time", "event"], axis=1)
X = WALTONS[["group"]].assign(x=np.arange(len(WALTONS)) % 7)


def _spoilt(column: str, value: Any, rows: tuple[int, ...] = (2, 5)) -> pd.DataFrame:
    y = Y.astype({"event": object}) if isinstance(value, str) else Y.astype(float)
    y.iloc[list(rows), y.columns.get_loc(column)] = value
    return y


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (_spoilt("time", 0.0),
         "y, row 3, column 'time': times must be positive, since their logarithm is used (rows 3, "
         "6), but got 0.0. Drop such rows, or add a small time, such as half a day, to all"),
        (_spoilt("time", np.inf), "times must be finite (rows 3, 6)"),
        (_spoilt("time", np.nan, (4,)),
         "y, row 5, column 'time': a value is missing (NaN) (row 5), but got nan. Fill it in"),
        (_spoilt("event", np.nan), "a value is missing (NaN) (rows 3, 6)"),
        (Y.assign(event=Y["event"] + 1),
         "column 'event': an event is coded 1 or 0 (or true, false), but got [1.0, 2.0]. In R's "
         "coding 1 is censored and 2 the event: subtract 1"),
        (Y.assign(event="dead"), "but got ['dead']. Write 1 where the event happened"),
        (Y.assign(event=0),
         "there must be an event, or no rate is the likeliest; all rows are censored, but got "
         "[0.0]. The coding is 1 for an event"),
        (Y.assign(entry=Y["time"]), "a row must enter before its time"),
        (Y.assign(entry=-1.0), "entries must not be negative"),
        (pd.DataFrame({"lower": Y["time"], "upper": Y["time"] - 1}),
         "an upper end must not be below its lower"),
        (pd.DataFrame({"lower": 0.0, "upper": [np.inf] * len(Y)}), "says nothing"),
        (pd.DataFrame({"lower": Y["time"], "upper": np.inf}), "all rows are censored"),
        (pd.DataFrame({"when": Y["time"], "event": Y["event"]}),
         "an outcome has the columns time and event, perhaps entry, or lower and upper"),
        (Y.iloc[1:], "X and y have inconsistent numbers of rows"),
        (None, "requires y to be passed"),
    ],
)  # fmt: skip
def test_a_bad_outcome_is_located(y: Any, text: str) -> None:
    with pytest.raises(EstimatorDataError) as error:
        SurvivalRegressor("weibull").fit(X, y)
    assert text in str(error.value)


def _with(column: str, value: Any) -> pd.DataFrame:
    return X.assign(**{column: value})


@pytest.mark.parametrize(
    ("table", "settings", "text"),
    [
        (_with("x", np.where(X.index < 2, np.nan, 1.0)), {},
         "X, row 1, column 'x': a covariate is missing (NaN) (rows 1, 2), but got nan. Fill it in"),
        (_with("x", np.where(X.index < 2, np.inf, 1.0)), {}, "a covariate must be finite (no inf)"),
        (_with("x", 3.0), {}, "the column 'x' of the formula of phi is constant"),
        (_with("y", X["x"] * 2), {}, "columns of the formula of phi say the same: x, y"),
        (X.iloc[:2], {}, "a fit needs more rows than coefficients"),
        (X, {"formulas": {"phi": "x + z"}}, "names a column that is not there, but got 'z'"),
        (X, {"formulas": {"phi": "open(x)"}}, "uses an unknown function 'open'"),
        (X, {"formulas": {"phi": "x.__class__"}}, "only use columns, functions and operators"),
        (X, {"formulas": {"phi": "a ~ x"}}, "has a left side or several parts"),
        (X, {"formulas": {"phi": "x +"}}, "the formula of phi cannot be read"),
        (X, {"formulas": {"theta": "x"}}, "unknown parameter 'theta' in the formulas"),
        (X, {"formulas": {"gamma": -1.0}}, "gamma is fixed by a number above 0"),
        (X, {"family": "gompertz", "formulas": {"gamma": "x"}},
         "the family 'gompertz' is what it is by gamma = 1"),
        (X, {"formulas": {"phi": "x", "lambda": "x"}},
         "covariates on phi and lambda at once are close to not identified. Drop them from lambda"),
        (X, {"family": "weibull", "formulas": {"phi": "x", "lambda": "1"}},
         "phi and lambda are not identified at kappa = 1, where only lambda phi^gamma matters. "
         "Drop the formula of lambda (AFT) or that of phi (PH)"),
        (X, {"structure": "po"}, "a structure is 'aft'"),
        (X, {"interval": "exact"}, "an interval is 'wald' or 'profile'"),
        (X, {"level": 95}, "a level lies between 0 and 1"),
        (X, {"starts": 0}, "starts and max_iter are at least 1"),
        (X, {"criterion": "dic"}, "a criterion is 'bic' or 'aic'"),
    ],
)  # fmt: skip
def test_a_bad_table_or_setting_is_refused(
    table: pd.DataFrame, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises((EstimatorDataError, EstimatorInputError)) as error:
        SurvivalRegressor(**settings).fit(table, Y.iloc[: len(table)])
    assert text in str(error.value)


def test_predictions_refuse_other_units_levels_and_times() -> None:
    fit = SurvivalRegressor("weibull", formulas={"phi": "group"}, time_unit="days").fit(X, Y)
    with pytest.raises(EstimatorInputError, match="the fit is in 'days', but got 'months'"):
        fit.predict_survival(X, [1.0], unit="months")
    with pytest.raises(EstimatorDataError, match="a value that the fit has not seen"):
        fit.predict(X.assign(group="other"))
    with pytest.raises(EstimatorInputError, match="times are finite and positive"):
        fit.predict_hazard(X, [0.0])
    with pytest.raises(EstimatorInputError, match="a share lies between 0 and 1"):
        fit.predict_quantile(X, 1.5)
    with pytest.raises(EstimatorInputError, match=r"no such coefficient.*phi: Intercept"):
        fit.profile("phi", "age")
    with pytest.raises(EstimatorInputError, match="up to 6 groups"):
        fit.plot_survival("x")
    with pytest.raises(EstimatorInputError, match="there is no such column"):
        fit.plot_survival("age")
    with pytest.raises(EstimatorInputError, match="lacks a column that a formula uses"):
        fit.hazard_ratio({"x": 1}, {"x": 2}, [1.0])
    with pytest.raises(EstimatorInputError, match="a profile is one row"):
        fit.hazard_ratio(X, X, [1.0])
    assert fit.hazard_ratio({"group": "control"}, {"group": "control"}, [1.0])["low"].iloc[0] == 1
    with pytest.raises(EstimatorInputError, match="a larger one of the same rows"):
        fit.likelihood_ratio_test(fit)


def test_kappa_at_infinity_is_named_and_refitted() -> None:
    times = family.simulate(np.random.default_rng(0), 0.1, 0.2, 1.6, np.inf, size=500)
    fit = SurvivalRegressor(formulas={"phi": "1", "lambda": "1"}).fit(None, times)
    assert fit.family_ == "extended-gompertz"
    assert any("kappa runs to infinity: this is the extended Gompertz limit" in text
               for text in fit.diagnosis_)  # fmt: skip
    assert fit.coef_.size == 3 and np.isinf(fit.parameters_.loc["kappa", "estimate"])


def test_a_burr_without_a_tail_is_a_weibull() -> None:
    fit = SurvivalRegressor("burr-xii").fit(None, Y)
    assert fit.family_ == "weibull"
    assert any("this is the Weibull limit" in text for text in fit.diagnosis_)


def test_a_cure_model_where_no_one_is_cured() -> None:
    times = family.simulate(np.random.default_rng(1), 0.1, 1.0, 2.0, 0.0, size=800)
    fit = SurvivalRegressor("cure").fit(None, times)
    if fit.family_ == "cure":  # a sample may well lie a little below 0
        assert -0.2 < fit.parameters_.loc["kappa", "estimate"] < 0
    else:
        assert fit.family_ == "log-logistic"
        assert any("where no one is cured" in text for text in fit.diagnosis_)


def test_a_group_without_events_has_an_infinite_slope() -> None:
    late = (X["group"] == "miR-137").to_numpy()
    y = Y.assign(event=np.where(late, 0, Y["event"]))
    formulas = {"lambda": "group", "gamma": "group"}
    fit = SurvivalRegressor("weibull", "ph", formulas).fit(X, y)
    row = fit.summary_.loc[("lambda", "group[T.miR-137]")]
    assert row["estimate"] == -np.inf and np.isnan(row["se"])
    assert any("Separation: no row with group[T.miR-137] has the event" in text
               for text in fit.diagnosis_)  # fmt: skip
    alone = SurvivalRegressor("weibull", "ph", {"lambda": "1"}).fit(X[~late], y[~late])
    assert fit.log_likelihood_ == pytest.approx(alone.log_likelihood_, abs=1e-4)
    name = ("gamma", "Intercept")
    assert fit.coef_[name] == pytest.approx(alone.coef_[name], abs=1e-4)
    assert fit.standard_errors_[name] == pytest.approx(alone.standard_errors_[name], rel=1e-2)
    y = Y.assign(event=np.where(late, Y["event"], 0))
    with pytest.raises(EstimatorDataError, match=r"no row outside .* has the event"):
        SurvivalRegressor("weibull").fit(X[["group"]], y)


def test_short_follow_up_makes_a_cured_share_an_extrapolation() -> None:
    times = family.simulate(np.random.default_rng(2), 1.0, 1.0, 1.5, -0.4, size=800)
    y = pd.DataFrame({"time": np.minimum(times, 1.2), "event": times <= 1.2})
    fit = SurvivalRegressor("cure").fit(None, y)
    assert any("follow-up is short" in text for text in fit.diagnosis_)


def test_phi_fixed_by_hand_depends_on_the_unit() -> None:
    fit = SurvivalRegressor(structure="ph", formulas={"phi": 1.0, "lambda": "1"}).fit(X, Y)
    assert any("depends on the unit of time" in text for text in fit.diagnosis_)


def test_parameters_that_are_one_are_named() -> None:
    settings = {"phi": "1", "lambda": "1"}
    times = family.simulate(np.random.default_rng(3), 1.0, 1.0, 1.5, 1.0, size=300)
    fit = SurvivalRegressor(formulas=settings).fit(None, times)
    told = " ".join(fit.diagnosis_)
    assert "hardly tell them apart" in told or "limit" in told or "flat along" in told


def test_few_events_are_said() -> None:
    y = Y.iloc[:20].assign(event=np.arange(20) < 4)
    fit = SurvivalRegressor("weibull", formulas={"phi": "x"}).fit(X.iloc[:20], y)
    assert any("There are 4 events for 3 coefficients" in text for text in fit.diagnosis_)


def test_a_search_cut_short_is_said() -> None:
    fit = SurvivalRegressor(structure="ph", formulas={"lambda": "group"}, max_iter=1).fit(X, Y)
    assert not fit.converged_
    assert any("The search has not ended after 1 steps" in text for text in fit.diagnosis_)
