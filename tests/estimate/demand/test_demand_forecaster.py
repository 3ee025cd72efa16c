"""``DemandForecaster`` keeps the contract of an estimator, sees no test month, and adds up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.core.pages import Page
from parsimony.estimate.demand import DemandForecaster, DemandTable, evaluation, graph, page
from parsimony.estimate.demand.generate import generate
from parsimony.testing.estimator_contract import EstimatorContract

DRAWN = generate(20, 3, 39)
LATER = DRAWN.table
TABLE = LATER.with_values(LATER.months[:36], LATER.values[:, :36])


class TestDemandForecaster(EstimatorContract):
    estimator = DemandForecaster(models="naive,window-mean,ridge", level=0.8)

    def data(self) -> tuple[Any, Any]:
        return TABLE.to_long(), None

    def asked(self, X: Any) -> Any:
        return 3


@pytest.fixture(scope="module")
def fitted() -> DemandForecaster:
    return DemandForecaster(levels=["total", "skill_id"], reconcile="ols").fit(TABLE)


def test_no_test_month_is_used_before_the_test() -> None:
    spoiled = TABLE.values.copy()
    spoiled[:, 30:] = np.random.default_rng(0).permuted(spoiled[:, 30:], axis=0) * 3 + 5
    names = "ridge,nlinear"
    one, other = (
        DemandForecaster(names).fit(TABLE.with_values(TABLE.months, values))
        for values in (TABLE.values, spoiled)
    )
    for name, found in one.forecasts_.items():  # the first window sees no test month
        assert (found[:, 0] == other.forecasts_[name][:, 0]).all()
        assert (found[:, 1] != other.forecasts_[name][:, 1]).any()
    assert one.selection_.weights.equals(other.selection_.weights)
    assert one.selection_.errors.equals(other.selection_.errors)


def test_the_layout_makes_no_difference() -> None:
    names = "naive,ses"
    wide, long = (DemandForecaster(names).fit(f) for f in (TABLE.to_wide(), TABLE.to_long()))
    assert wide.summary_.equals(long.summary_) and wide.predict().equals(long.predict())


def test_levels_add_up_and_are_scored(fitted: DemandForecaster) -> None:
    levels = fitted.hierarchy_
    assert max(map(levels.incoherence, fitted.forecasts_.values())) < 1e-8
    assert levels.incoherence(fitted.forecast_table().values) < 1e-8
    subsets = set(fitted.summary_.index.unique("subset"))
    assert subsets == {
        "all", "low-frequency", "structural-break", "non-break", "level total", "level skill_id"
    }  # fmt: skip
    assert {"total", "skill_id"} < set(fitted.selection_.errors)  # each level chooses by itself
    mae = fitted.summary_.xs("mae", level="metric")["estimate"]
    actual = np.stack([TABLE.values.sum(0)[o : o + 3] for o in range(30, 34)])
    naive = np.abs(actual - TABLE.values.sum(0)[29:33, None]).mean()
    assert mae["naive", "level total"] == pytest.approx(naive)


def test_groups_are_scored_apart(fitted: DemandForecaster) -> None:
    found = fitted.forecasts_["ensemble"][-60:]
    errors = np.abs(found - np.stack([TABLE.values[:, o : o + 3] for o in range(30, 34)], axis=1))
    assert fitted.groups_["mae"].tolist() == pytest.approx(
        [errors[TABLE.groups == name].mean() for name in ("0", "1", "2")]
    )
    spread = fitted.summary_.loc[("ensemble", "all", "fairness"), "estimate"]
    assert spread == pytest.approx(fitted.groups_["mae"].var(ddof=0))


def test_parents_and_levels_are_the_same(fitted: DemandForecaster) -> None:
    ids = fitted.table_.ids
    whole = DemandTable(pd.DataFrame({"skill_id": ids}), TABLE.months, fitted.table_.values)
    pairs = [(f"skill_id={s}", "total") for s in dict.fromkeys(TABLE.skills)]
    pairs += [(i, f"skill_id={s}") for i, s in zip(TABLE.ids, TABLE.skills, strict=True)]
    parents = pd.DataFrame(pairs, columns=["child", "parent"])
    mask = np.zeros(len(ids), bool)
    mask[30:40] = True
    other = DemandForecaster(parents=parents, reconcile="ols", rare=mask).fit(whole)
    for name, found in fitted.forecasts_.items():
        assert other.forecasts_[name] == pytest.approx(found)
    assert other.summary_.loc[("naive", "low-frequency", "mae"), "estimate"] == pytest.approx(
        np.abs(other.forecasts_["naive"][30:40] - np.stack(
            [whole.values[30:40, o : o + 3] for o in range(30, 34)], axis=1)).mean()
    )  # fmt: skip


def test_forecasts_come_in_both_layouts(fitted: DemandForecaster) -> None:
    long, wide = fitted.predict(), fitted.forecast_table().to_wide()
    assert list(wide.columns) == ["node_id", "2024-01", "2024-02", "2024-03"]
    assert long["forecast"].to_numpy().reshape(-1, 3) == pytest.approx(wide.iloc[:, 1:].to_numpy())
    assert (long["forecast-lo-90"] <= long["forecast"]).all()
    assert (long["forecast"] <= long["forecast-hi-90"]).all()
    assert not long["recursive"].any()


def test_a_longer_horizon_is_recursive_and_says_so(fitted: DemandForecaster) -> None:
    with pytest.raises(InputError, match="ridge is trained for 3 months, but got 5"):
        fitted.predict(5)
    found = fitted.predict(5, recursive=True)
    assert found["recursive"].tolist()[:5] == [False] * 3 + [True] * 2
    assert found["forecast-lo-90"].isna().tolist() == found["recursive"].tolist()
    plain = DemandForecaster("naive", select=False).fit(TABLE).predict(5)
    assert not plain["recursive"].any() and np.isfinite(plain["forecast"]).all()


def test_the_score_is_minus_the_error_of_the_next_months(fitted: DemandForecaster) -> None:
    told = fitted.forecast_table().values[-60:]
    assert fitted.score(LATER) == pytest.approx(-np.abs(told - LATER.values[:, 36:]).mean())
    with pytest.raises(InputError, match="a score needs the months 2024-01 to 2024-03, but got '2"):
        fitted.score(TABLE)
    fewer = LATER.to_wide().query("skill_id != 's0003'")
    with pytest.raises(InputError, match="a score needs the series of the fit, but got '0/s0003'"):
        fitted.score(fewer)


def test_what_is_not_chosen_by_weights_is_the_best_before_the_test() -> None:
    found = DemandForecaster("naive,drift,window-mean", select=False).fit(TABLE)
    assert found.chosen_ == found.selection_.errors.mean(axis=1).idxmin() == "window-mean"
    assert "ensemble" not in found.forecasts_


def test_clipping_is_said() -> None:
    drawn = generate(60, 7).table
    plain = DemandForecaster("drift").fit(drawn)
    assert any((f < 0).any() for f in plain.forecasts_.values())
    assert any("left as they are" in line for line in plain.diagnosis_)
    found = DemandForecaster("drift", clip=True).fit(drawn)
    assert all((f >= 0).all() for f in found.forecasts_.values())
    assert any("were set to 0" in line for line in found.diagnosis_)


def test_what_the_reader_must_know_is_in_words(fitted: DemandForecaster) -> None:
    text = "\n".join(fitted.diagnosis_)
    assert "27 months train, 3 validate, 6 test; 4 test windows of 3 months" in text
    assert f"its 90% intervals hold {fitted.coverage_:.1%} of the test's values" in text
    still = int((np.ptp(TABLE.values[:, :27], axis=1) == 0).sum())
    assert f"{still} of 60 series are constant over the training months" in text
    assert "of SMAPE's terms are 0/0, counted as 0" in text
    assert 0.8 < fitted.coverage_ < 0.98


def test_a_task_is_said_to_change_the_learned_alone() -> None:
    found = DemandForecaster("ridge", task="break:exponential").fit(TABLE)
    assert found.diagnosis_[-1].startswith("The task 'break:exponential' changes the training of")
    plain = DemandForecaster("ridge").fit(TABLE)
    assert (found.forecasts_["ridge"] != plain.forecasts_["ridge"]).any()
    assert (found.forecasts_["naive"] == plain.forecasts_["naive"]).all()


def test_a_graph_reaches_its_forecaster() -> None:
    pairs = pd.DataFrame({"group": ["0"], "first": ["s0000"], "second": ["s0001"]})
    known = graph.from_pairs(pairs, TABLE)
    found = DemandForecaster("graph-ridge", graph=known, levels=["skill_id"]).fit(TABLE)
    assert found.parameters_["graph-ridge"] == 30
    assert "The graph has 1 pairs" in found.diagnosis_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reconcile": "ols"}, "to reconcile there must be levels. Give levels such as"),
        ({"reconcile": "olz", "levels": ["total"]}, "unknown reconciliation 'olz'. Did you mean"),
        ({"levels": ["total"], "parents": pd.DataFrame()}, "levels are summed or given by parents"),
        ({"level": 90}, "the level of an interval must be in (0, 1), but got 90"),
        ({"rare": np.ones(3, bool)}, "the mask 'rare' needs one entry for each series, but got"),
        ({"models": "navie"}, "unknown forecaster 'navie'. Did you mean 'naive'?"),
        ({"task": "fast"}, "unknown task 'fast'"),
        ({"test": 40}, "each part needs a window, but 36 months leave"),
        ({"graph": graph.Graph(DRAWN.table.values[:2, :2], 0)}, "a graph is of the series of the"),
    ],
)
def test_wrong_settings_are_refused_first(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        DemandForecaster(**settings).check(TABLE)
    assert str(caught.value).startswith(message)


def test_it_draws_its_errors_and_a_forecast(fitted: DemandForecaster) -> None:
    gaps = fitted.plot_errors()
    scored = evaluation.wide(fitted.summary_, "all")
    assert {row.name for row in gaps.figure.rows} == {*scored.index} - {"naive"}
    place = len(fitted.table_.ids) - 1
    drawn = fitted.plot_forecast(str(fitted.table_.ids[place])).figure
    assert drawn.series[0].y == fitted.table_.values[place].tolist()
    told = fitted.predict()["forecast"].to_numpy()
    assert drawn.series[1].y == told[place * fitted.horizon :][: fitted.horizon].tolist()
    with pytest.raises(ValueError, match="unknown series, but got 'none'"):
        fitted.plot_forecast("none")


def test_the_page_holds_what_was_found(fitted: DemandForecaster) -> None:
    shown = Page.model_validate_json(page.page(fitted, "t.csv").model_dump_json())
    figures = [figure for section in shown.sections for figure in section.figures]
    scored = evaluation.wide(fitted.summary_, "all")
    errors = next(f for f in figures if f.title == "Mean absolute error")
    assert [row.name for row in errors.rows] == list(scored.index)
    assert [row.value for row in errors.rows] == pytest.approx(scored["mae"].tolist())
    plot = figures[-1]
    assert plot.series[0].y in fitted.table_.values.tolist() and len(plot.series[1].y) == 3
    assert shown.notes == fitted.diagnosis_
