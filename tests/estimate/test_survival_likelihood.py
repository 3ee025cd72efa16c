"""The likelihood of a sample: its derivatives under every family and kind of censoring."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime

from parsimony.estimate.survival import Outcome, special_cases
from parsimony.estimate.survival.likelihood import BLOCK
from parsimony.estimate.survival.model import build
from parsimony.estimate.survival.nonparametric import follow_up, kaplan_meier
from parsimony.estimate.survival.optimiser import maximise

ROWS = 60


def _sample(kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(5)
    table = pd.DataFrame({"x": random.normal(size=ROWS), "g": random.integers(0, 2, ROWS)})
    time = random.weibull(1.4, ROWS) + 0.05
    if kind == "interval":
        upper = np.where(random.random(ROWS) < 0.2, np.inf, time + 0.3)
        lower = np.where(random.random(ROWS) < 0.2, 0.0, time)
        lower = np.where(np.isinf(upper), time, lower)
        return table, pd.DataFrame({"lower": lower, "upper": upper})
    y = pd.DataFrame({"time": time, "event": random.integers(0, 2, ROWS)})
    return table, y.assign(entry=time / 3 * (table["g"] == 1)) if kind == "entry" else y


@pytest.mark.parametrize("kind", ["right", "entry", "interval"])
@pytest.mark.parametrize("name", sorted(special_cases()))
def test_gradient_and_hessian_are_those_of_differences(name: str, kind: str) -> None:
    table, y = _sample(kind)
    case = special_cases()[name]
    formulas: dict[str, str | float] = {"phi": "x"}
    if "gamma" not in case.fixed:
        formulas["gamma"] = "g"
    model = build(
        table, Outcome.of(y), family=name, structure="aft", formulas=formulas, both_scales=False,
        weights=np.linspace(0.5, 2, ROWS),
    )  # fmt: skip
    start = model.starts(np.random.default_rng(0), 1)[0]
    at = start + np.random.default_rng(1).normal(0, 0.1, start.size)
    if "kappa" in model.designs:
        at[-1] = -0.4 if case.plateau else 0.7
    likelihood = model.likelihood
    _, gradient, hessian = likelihood(at, 2)
    slope = approx_fprime(at, lambda x: likelihood(x)[0], 1e-7)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-3)
    curve = approx_fprime(at, lambda x: likelihood(x, 1)[1], 1e-7)
    np.testing.assert_allclose(hessian, curve, rtol=1e-4, atol=1e-2)


def test_blocks_and_weights_do_not_change_the_fit() -> None:
    table, y = _sample("right")
    rows = np.arange(3 * BLOCK) % ROWS
    near = 1 + 1e-13 * np.arange(len(rows))  # no two rows agree
    many = y.iloc[rows].assign(time=y["time"].to_numpy()[rows] * near)
    found = []
    for X, outcome, weights in (
        (table, y, np.bincount(rows).astype(float)),
        (table.iloc[rows], many, None),
    ):
        model = build(
            X, Outcome.of(outcome), family="burr-xii", structure="aft", formulas={"phi": "x"},
            both_scales=False, weights=weights,
        )  # fmt: skip
        top = model.fit(np.random.default_rng(0), 2, 100)
        at = model.back() @ top.theta + model.shift()
        found.append([*at, top.value - model.log_unit_events()])
    assert model.likelihood.rows == len(rows)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_the_search_ends_at_the_top_and_at_bounds() -> None:
    def hill(x: np.ndarray, order: int) -> tuple[float, np.ndarray, np.ndarray]:
        centre = np.array([1.0, 2.0])
        return -np.sum((x - centre) ** 4), -4 * (x - centre) ** 3, np.diag(-12 * (x - centre) ** 2)

    free = np.full(2, np.inf)
    top = maximise(hill, np.zeros(2), (-free, free))
    assert top.converged
    np.testing.assert_allclose(top.theta, [1, 2], atol=0.02)
    held = maximise(hill, np.zeros(2), (-free, np.array([np.inf, 0.5])))
    assert held.theta[1] == 0.5 and held.converged


def test_kaplan_meier_is_lifelines_with_entries_and_weights() -> None:
    import lifelines

    _, y = _sample("entry")
    weights = np.arange(1, ROWS + 1) % 4 + 1.0
    theirs = lifelines.KaplanMeierFitter().fit(
        y["time"], y["event"], entry=y["entry"], weights=weights
    )
    entry = y["entry"].to_numpy()
    times, height = kaplan_meier(y["time"].to_numpy(), y["event"].to_numpy(), entry, weights)
    expected = theirs.survival_function_at_times(times).to_numpy()
    np.testing.assert_allclose(height, expected, rtol=1e-10)


def test_follow_up_is_long_after_the_last_event() -> None:
    time = np.array([1.0, 2.0, 3.0, 10.0, 10.0])
    event = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    tail, flat, alpha = follow_up(Outcome(time, event))
    assert (tail, flat) == (pytest.approx(0.4), pytest.approx(0.7))
    assert alpha == pytest.approx((1 - 3 / 5) ** 5)
