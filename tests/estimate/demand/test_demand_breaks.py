"""Chow's test against statsmodels and its own definition; its size and power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from parsimony.core.errors import InputError
from parsimony.estimate.demand import breaks

NOISE = np.random.default_rng(0).normal(size=(3000, 36))


def rss(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.lstsq(x, y, rcond=None)[1][0])


@pytest.mark.parametrize("regressors", ["constant", "trend", "ar1"])
def test_f_is_that_of_three_regressions(regressors: str) -> None:
    y = np.cumsum(NOISE[:5], axis=1) + 10
    found = breaks.chow(y, 15, regressors)
    for row, f, p in zip(y, found.statistic, found.p, strict=True):
        t = np.arange(36.0)
        x = {"constant": np.ones((36, 1)), "trend": np.c_[np.ones(36), t],
             "ar1": np.c_[np.ones(35), row[:-1]]}[regressors]  # fmt: skip
        target, cut = (row[1:], 14) if regressors == "ar1" else (row, 15)
        k, n = x.shape[1], len(target)
        parts = rss(x[:cut], target[:cut]) + rss(x[cut:], target[cut:])
        expected = (rss(x, target) - parts) / k / (parts / (n - 2 * k))
        assert f == pytest.approx(expected) and p == pytest.approx(
            stats.f.sf(expected, k, n - 2 * k)
        )


def test_a_known_date_has_its_size_and_power_rises() -> None:
    assert (breaks.chow(NOISE, 18).p < 0.05).mean() == pytest.approx(0.05, abs=0.012)
    after = np.arange(36) >= 18
    power = [(breaks.chow(NOISE[:500] + size * after, 18).p < 0.05).mean() for size in (0.5, 1, 3)]
    assert power[0] < power[1] < power[2] and power[2] > 0.9


def test_looking_at_every_date_needs_a_rule() -> None:
    share = {r: (breaks.sup_f(NOISE, rule=r).p < 0.05).mean()
             for r in ("none", "bonferroni", "simulated")}  # fmt: skip
    assert share["none"] > 0.2
    assert share["bonferroni"] < 0.05
    assert share["simulated"] == pytest.approx(0.05, abs=0.015)


def test_a_jump_is_found_where_it_is() -> None:
    found = breaks.sup_f(NOISE[:50] + 8 * (np.arange(36) >= 20), "constant")
    assert (found.p < 0.001).all() and (found.month == 20).all()
    shifted = breaks.sup_f(NOISE[:50] + 8 * (np.arange(36) >= 20), "ar1", "bonferroni")
    assert np.median(shifted.month) == 20


def test_a_line_has_no_break() -> None:
    y = np.stack([np.zeros(36), np.full(36, 7.0), np.arange(36) * 2.0])
    assert (breaks.sup_f(y).p == 1).all() and (breaks.chow(y, 18).statistic == 0).all()


def test_a_jump_without_noise_is_a_break() -> None:
    y = np.where(np.arange(36) >= 18, 9.0, 1.0)[None]
    assert breaks.chow(y, 18, "constant").p[0] < 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: breaks.chow(NOISE, 2), "each side of a break needs more than 2 months"),
        (lambda: breaks.chow(NOISE, 18, "cubic"), "the regressors must be constant, trend or ar1"),
        (lambda: breaks.sup_f(NOISE, rule="holm"), "the rule must be simulated, bonferroni or"),
        (lambda: breaks.sup_f(NOISE, trim=0.6), "the trimmed share must be between 0 and 0.5"),
        (lambda: breaks.sup_f(NOISE[:, :4]), "a break test needs more months than its"),
        (lambda: breaks.sup_f(NOISE, "ar1"), "the rule 'simulated' needs the regressors constant"),
    ],
)  # fmt: skip
def test_impossible_tests_are_refused(call: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
