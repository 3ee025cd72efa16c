"""Thresholds on curves whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from parsimony.adapt import budget_study
from parsimony.core.errors import InputError


def curve(points: dict[int, list[float]]) -> pd.DataFrame:
    rows = [(b, seed, a) for b, found in points.items() for seed, a in enumerate(found)]
    return pd.DataFrame(rows, columns=["budget", "seed", "accuracy"])


def test_t_high_lies_on_the_line_between_two_budgets() -> None:
    """0.5 at 10 and 0.9 at 1000: 0.7 is reached half-way in the logarithm, at 100."""
    table = curve({10: [0.4, 0.6], 1000: [0.9, 0.9]})
    found = budget_study.t_high(table, full=[0.71], margin=0.01)
    assert found.budget == pytest.approx(100)
    assert found.accuracy == pytest.approx(0.70)
    # The resampled ends are known: 0.4 or 0.6 at 10.
    assert found.low == pytest.approx(10 ** (1 + 2 * 0.1 / 0.3))
    assert found.high == pytest.approx(10 ** (1 + 2 * 0.3 / 0.5))


def test_a_dip_is_smoothed_before_the_line_is_crossed() -> None:
    """0.6 and 0.4 pool to 0.5; the crossing of 0.5 is where the pool begins."""
    values = np.array([0.2, 0.6, 0.4, 0.8])
    budgets = np.array([1.0, 10.0, 100.0, 1000.0])
    assert budget_study.crossing(budgets, values, 0.5) == pytest.approx(10)
    assert budget_study.crossing(budgets, values, 0.65) == pytest.approx(10**2.5)


def test_t_low_asks_four_of_five_seeds() -> None:
    needed = next(k for k in range(101) if binomtest(k, 100, 0.2, "greater").pvalue < 0.05) / 100
    low, high = needed - 0.01, needed + 0.01
    table = curve({10: [low] * 5, 100: [high] * 3 + [low] * 2, 1000: [high] * 4 + [low]})
    found = budget_study.t_low(table, rows=100, chance=0.2)
    assert found.accuracy == pytest.approx(needed)
    assert 100 < found.budget < 1000
    assert found.budget == pytest.approx(10**2.5)  # half of the way from low to high
    assert budget_study.t_low(table, rows=100, chance=0.2, share=0.6).budget < 100


@pytest.mark.parametrize(("rows", "chance"), [(20, 0.5), (100, 0.2), (1000, 0.1), (7, 0.9)])
def test_the_accuracy_that_beats_guessing_is_the_binomial_test_s(rows: int, chance: float) -> None:
    for hits in range(rows + 1):
        expected = binomtest(hits, rows, chance, "greater").pvalue < 0.05
        assert budget_study.beats_guessing(hits / rows, rows, chance) == expected


def test_what_the_table_does_not_show_is_not_made_up() -> None:
    table = curve({10: [0.5, 0.6], 100: [0.6, 0.7]})
    never = budget_study.t_high(table, full=[0.95])
    assert never.budget == never.low == never.high == math.inf
    at_once = budget_study.t_high(table, full=[0.4])
    assert at_once.budget == at_once.low == at_once.high == 10


def test_the_interval_narrows_with_the_seeds_and_repeats_with_the_seed() -> None:
    random = np.random.default_rng(0)
    means = {10: 0.3, 100: 0.5, 1000: 0.7, 10000: 0.9}

    def table(seeds: int) -> pd.DataFrame:
        return curve({b: list(random.normal(m, 0.03, seeds)) for b, m in means.items()})

    few, many = table(4), table(64)
    ends = [budget_study.t_high(t, full=[0.8], margin=0) for t in (few, many)]
    widths = [math.log10(t.high / t.low) for t in ends]
    assert widths[1] < widths[0] / 2
    assert ends[1].low < 10**3.5 < ends[1].high
    assert budget_study.t_high(few, full=[0.8], margin=0) == ends[0]


def test_the_rate_is_chosen_on_validation_for_every_budget() -> None:
    """Ten scalars learn at 0.3, a thousand at 0.03; the test accuracy has no say."""

    def run(budget: int, seed: int, rate: float) -> tuple[float, float]:
        best = {10: 0.3, 1000: 0.03}[budget]
        return (0.9 if rate == best else 0.2 + 0.1 * seed), (0.5 if rate == best else 1.0)

    table = budget_study.budget_curve(run, budgets=[10, 1000], seeds=[0, 1], rates=[0.3, 0.03])
    assert list(table["learning_rate"]) == [0.3, 0.3, 0.03, 0.03]
    assert list(table["accuracy"]) == [0.5] * 4
    assert list(budget_study.spread(table)["seeds"]) == [2, 2]
    with pytest.warns(UserWarning, match="one learning rate, 0.3, for all budgets"):
        budget_study.budget_curve(lambda *_: (0.5, 0.5), budgets=[1, 2], seeds=[0], rates=[0.3])


def test_spread_is_the_deviation_over_seeds() -> None:
    found = budget_study.spread(curve({5: [0.1, 0.3], 50: [0.6, 0.6, 0.6]}))
    assert list(found["budget"]) == [5, 50]
    assert list(found["seeds"]) == [2, 3]
    np.testing.assert_allclose(found["std"], [0.02**0.5, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (curve({}), "needs rows of budget"),
        (curve({10: [1.2]}), "accuracies from 0 to 1"),
        (curve({0: [0.5]}), "budgets must be positive"),
        (pd.concat([curve({10: [0.5]})] * 2), "one row per budget and seed"),
        (pd.DataFrame({"budget": [1]}), "needs rows of budget, seed and accuracy"),
    ],
)
def test_bad_tables_are_refused(table: pd.DataFrame, text: str) -> None:
    with pytest.raises(InputError, match=text):
        budget_study.spread(table)
