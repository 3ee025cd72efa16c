"""Metrics against hand values, and that no batch is dropped."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from parsimony.core.errors import InputError
from parsimony.estimate.demand import evaluation, intervals, metrics
from parsimony.estimate.demand.generate import generate
from parsimony.estimate.demand.protocol import Protocol
from parsimony.estimate.demand.selector import select


def cube(*values: float) -> np.ndarray:
    return np.array(values, float).reshape(-1, 1, 1)


def test_hand_values() -> None:
    actual, forecast = cube(1, 5, 0, 4), cube(3, 0, 0, 2)
    found = metrics.score(actual, forecast, np.array([1.0, 0, 2, 4]))
    assert found == pytest.approx({
        "mae": 9 / 4, "rmse": (33 / 4) ** 0.5, "smape": (50 + 100 + 0 + 100 / 3) / 4,
        "smape_zero_share": 1 / 4, "rrmse_pred": 100 * (33 / 13) ** 0.5,
        "rrmse": 100 * (33 / 42) ** 0.5, "mase": (2 / 1 + 0 / 2 + 2 / 4) / 3, "wape": 9 / 10,
    })  # fmt: skip
    assert metrics.smape_terms(actual, forecast).ravel()[:3].tolist() == [50, 100, 0]


def test_what_has_no_denominator_is_none() -> None:
    found = metrics.score(cube(0, 0), cube(0, 0), np.zeros(2))
    assert found["smape"] == 0 and found["smape_zero_share"] == 1
    assert [found[name] for name in ("rrmse", "rrmse_pred", "wape", "mase")] == [None] * 4
    assert metrics.pinball(cube(0), {0.5: cube(1)}) is None


def test_dividing_by_the_forecast_flatters_high_ones() -> None:
    high, low = (metrics.score(cube(10, 10), cube(p, p)) for p in (15, 5))
    assert high["rrmse"] == low["rrmse"] and high["rrmse_pred"] < low["rrmse_pred"]


def test_fairness_is_the_variance_of_the_groups_errors() -> None:
    actual, groups = cube(0, 0, 0), np.array(["b", "a", "b"], object)
    assert metrics.fairness(actual, cube(1, 4, 3), groups) == 1  # of 2 and 4
    assert metrics.fairness(actual, cube(1, 4, 3), np.array(["a"] * 3)) == 0
    table = metrics.by_group(actual, cube(1, 4, 3), groups)
    assert table["mae"].to_dict() == {"a": 4, "b": 2}


def test_pinball_of_the_median_is_wape() -> None:
    random = np.random.default_rng(0)
    actual, forecast = random.poisson(5, (2, 6, 2, 3)).astype(float)
    assert metrics.pinball(actual, {0.5: forecast}) == pytest.approx(
        metrics.score(actual, forecast)["wape"]
    )


VALUES = arrays(float, (5, 2, 3), elements=st.floats(0, 1e6).map(lambda v: round(v, 3)))


@given(VALUES, VALUES)
def test_metrics_keep_to_their_ranges(actual: np.ndarray, forecast: np.ndarray) -> None:
    found = metrics.score(actual, forecast)
    assert 0 <= found["smape"] <= 100 and found["mae"] <= found["rmse"] * (1 + 1e-9)
    twice = metrics.score(2 * actual, 2 * forecast)
    assert twice["mae"] == pytest.approx(2 * found["mae"])
    for name in ("smape", "rrmse", "rrmse_pred", "wape"):
        assert twice[name] == pytest.approx(found[name])


def test_a_loader_that_drops_the_last_batch_scores_something_else() -> None:
    torch = pytest.importorskip("torch")
    drawn = generate(30, 3).table.values
    protocol = Protocol()
    actual = protocol.targets(drawn, protocol.origins("test"))
    forecast = np.repeat(drawn[:, 29:33, None], 3, axis=2)
    whole = metrics.score(actual, forecast)["mae"]
    pairs = torch.utils.data.TensorDataset(torch.tensor(forecast), torch.tensor(actual))

    def loaded(batch: int, drop_last: bool) -> float:
        loader = torch.utils.data.DataLoader(pairs, batch_size=batch, drop_last=drop_last)
        errors = [(p - y).abs() for p, y in loader]
        return float(torch.cat(errors).mean())

    assert [loaded(b, False) for b in (1, 7, 64, 90)] == pytest.approx([whole] * 4)
    assert loaded(90, True) == pytest.approx(whole)  # nothing is left over
    assert abs(loaded(64, True) / whole - 1) > 0.01


@pytest.mark.parametrize(
    ("actual", "forecast", "message"),
    [
        (cube(1), cube(1, 2), "actual and forecast need one shape (series, windows, horizon)"),
        (cube(1), cube(np.nan), "what is scored must be finite"),
        (np.zeros((0, 1, 1)), np.zeros((0, 1, 1)), "actual and forecast need one shape"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    actual: np.ndarray, forecast: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        metrics.score(actual, forecast)
    assert str(caught.value).startswith(message)


def test_a_summary_tells_better_from_no_difference() -> None:
    random = np.random.default_rng(0)
    actual = random.poisson(50, (200, 4, 3)).astype(float)
    forecasts = {
        "naive": actual + random.normal(0, 4, actual.shape),
        "same": actual + random.normal(0, 4, actual.shape),
        "good": actual + random.normal(0, 1, actual.shape),
    }
    masks = {"all": np.ones(200, bool), "none": np.zeros(200, bool)}
    skills = np.repeat(np.arange(50), 4)
    found = evaluation.summary(actual, forecasts, masks, skills, np.ones(200))
    mae = found.xs("mae", level="metric")
    assert mae["verdict"].droplevel("subset").to_dict() == {
        "naive": "reference", "same": "no difference found", "good": "better"
    }  # fmt: skip
    assert mae["estimate"].iloc[0] == pytest.approx(np.abs(forecasts["naive"] - actual).mean())
    assert (mae["low"] < mae["estimate"]).all() and (mae["estimate"] < mae["high"]).all()
    assert set(found.index.unique("subset")) == {"all"}


def test_skills_of_unequal_size_and_many_keep_the_mean() -> None:
    random = np.random.default_rng(0)
    errors = random.random((1500, 2, 3))
    for clusters in (np.arange(1500), random.integers(0, 40, 1500)):
        assert evaluation._pooled(errors, clusters, 0).mean() == pytest.approx(errors.mean())


def test_conformal_ends_hold_their_level() -> None:
    random = np.random.default_rng(1)
    level = random.lognormal(3, 1, 2000)
    actual = level[:, None, None] * (1 + 0.1 * random.standard_t(4, (2000, 8, 3)))
    forecast = np.broadcast_to(level[:, None, None], actual.shape).copy()
    cells = np.where(level > 20, "a", "b").astype(object)
    found = intervals.Conformal.fit(actual[:, :4], forecast[:, :4], level, cells, 0.9)
    low, high = found.ends(forecast[:, 4:])
    assert intervals.coverage(actual[:, 4:], low, high) == pytest.approx(0.9, abs=0.01)
    assert (low >= 0).all()
    longer, _ = found.ends(np.ones((2000, 5)))
    assert np.isnan(longer[:, 3:]).all() and np.isfinite(longer[:, :3]).all()
    with pytest.raises(InputError, match="the level of an interval must be in"):
        intervals.Conformal.fit(actual, forecast, level, cells, 1.0)


def test_the_choice_weighs_the_best_by_their_inverse_errors() -> None:
    drawn = generate(60, 3).table.values[:, :30]
    protocol = Protocol()
    actual = protocol.targets(drawn, protocol.choosing())
    offsets = {"one": 1.0, "two": 2.0, "four": 4.0, "far": 100.0}
    found = select(drawn, {name: actual + gap for name, gap in offsets.items()}, protocol)
    expected = pd.Series({"one": 4 / 7, "two": 2 / 7, "four": 1 / 7, "far": 0})
    for cell in found.weights:
        assert found.weights[cell].to_dict() == pytest.approx(expected.to_dict())
    mixed = found.combine({name: np.full((180, 2), gap) for name, gap in offsets.items()})
    assert mixed == pytest.approx(np.full((180, 2), 12 / 7))
    exact = select(drawn, {"right": actual, "wrong": actual + 1}, protocol)
    assert (exact.weights.loc["right"] == 1).all()
