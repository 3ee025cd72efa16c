"""The family: closed forms, limits, quantiles, draws, derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from parsimony.estimate.errors import EstimatorInputError
from parsimony.estimate.survival import family, special_case, special_cases
from parsimony.estimate.survival.derivatives import interval_terms, row_terms
from parsimony.estimate.survival.family import PARAMETERS

T = np.array([0.01, 0.3, 1.0, 2.0, 5.0])
POSITIVE = st.floats(0.2, 4.0)
KAPPA = st.one_of(st.floats(-0.9, 5.0), st.sampled_from([0.0, 1.0, 1e-9, -1e-7, np.inf]))


@pytest.mark.parametrize("name", sorted(special_cases()))
def test_a_special_case_is_its_textbook_form(name: str) -> None:
    case = special_case(name)
    low, high = case.kappa
    at = {"phi": 0.8, "lambda": 1.3, "gamma": 1.5}
    at["kappa"] = -0.4 if case.plateau else min(max(1.7, low), high)
    at |= case.fixed
    phi, lam, gamma, kappa = (at[p] for p in PARAMETERS)
    expected = case.closed_form(T, phi, lam, gamma, kappa)
    scale = lam * kappa / (kappa + 1) if case.tied else lam
    np.testing.assert_allclose(
        family.cumulative_hazard(T, phi, scale, gamma, kappa), expected, rtol=1e-12
    )


def test_the_classical_distributions_of_scipy() -> None:
    found = family.survivor(T, 0.5, 1.0, 1.7, 1.0)
    np.testing.assert_allclose(found, stats.weibull_min.sf(T, 1.7, scale=2.0), rtol=1e-12)
    found = family.survivor(T, 0.5, 1.0, 1.7, 0.0)
    np.testing.assert_allclose(found, stats.fisk.sf(T, 1.7, scale=2.0), rtol=1e-12)
    found = family.survivor(T, 0.5, 0.7, 1.7, 0.0)
    np.testing.assert_allclose(found, stats.burr12.sf(T, 1.7, 0.7, scale=2.0), rtol=1e-12)
    found = family.survivor(T, 0.5, 0.7, 1.0, np.inf)
    np.testing.assert_allclose(found, stats.gompertz.sf(T, 0.7, scale=2.0), rtol=1e-12)


def test_rubios_and_mprs_power_generalised_weibull() -> None:
    sigma, nu, g = 2.0, 1.4, 2.5
    kappa = 1 / g
    theirs = np.exp(1 - (1 + (T / sigma) ** nu) ** (1 / g))
    ours = family.survivor(T, (kappa + 1) ** (1 / nu) / sigma, kappa / (kappa + 1), nu, kappa)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    scale, shape, power = 0.6, 1.4, 2.5
    theirs = scale * ((1 + T**shape) ** power - 1)
    at = ((power + 1) ** (1 / shape), scale * power / (power + 1), shape, power)
    np.testing.assert_allclose(family.cumulative_hazard(T, *at), theirs, rtol=1e-12)
    theirs = np.log1p(scale * power * T**shape) / power
    at = ((scale * power) ** (1 / shape), 1 / power, shape, 0.0)
    np.testing.assert_allclose(family.cumulative_hazard(T, *at), theirs, rtol=1e-12)


@given(POSITIVE, POSITIVE, POSITIVE, KAPPA, st.floats(0.01, 0.99))
def test_the_quantile_is_the_inverse_of_the_survivor(
    phi: float, lam: float, gamma: float, kappa: float, u: float
) -> None:
    t = family.quantile(u, phi, lam, gamma, kappa)
    cured = float(family.cured_share(lam, kappa))
    if np.isinf(t):
        assert u <= cured + 1e-9
    else:
        assert family.survivor(t, phi, lam, gamma, kappa) == pytest.approx(u, rel=1e-6)


@given(POSITIVE, POSITIVE, POSITIVE, KAPPA)
def test_the_hazard_is_the_slope_of_the_cumulative_hazard(
    phi: float, lam: float, gamma: float, kappa: float
) -> None:
    t, step = 0.7, 1e-6
    ends = family.cumulative_hazard([t - step, t + step], phi, lam, gamma, kappa)
    hazard = np.exp(family.log_hazard(t, phi, lam, gamma, kappa))
    if ends[1] < 1e6:
        assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(hazard, rel=1e-3, abs=1e-7)


def test_draws_have_the_survivor_and_the_cured_share() -> None:
    drawn = family.simulate(np.random.default_rng(0), 1.2, 1.0, 1.5, -0.4, size=20_000)
    assert np.isinf(drawn).mean() == pytest.approx(family.cured_share(1.0, -0.4), abs=0.01)
    for t in (0.3, 1.0, 3.0):
        assert (drawn > t).mean() == pytest.approx(
            float(family.survivor(t, 1.2, 1.0, 1.5, -0.4)), abs=0.012
        )


@pytest.mark.parametrize(
    ("gamma", "kappa", "shape"),
    [(1, 1, "constant"), (2, 1, "increasing"), (0.5, 1, "decreasing"), (2, 0.2, "up, then down"),
     (0.5, 4, "down, then up"), (2, -0.5, "up, then down")],
)  # fmt: skip
def test_the_shape_of_the_hazard(gamma: float, kappa: float, shape: str) -> None:
    assert family.hazard_shape(gamma, kappa) == shape


@settings(max_examples=60)
@given(
    st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 0.6), st.floats(-2, 2), st.floats(-1.5, 1.5),
    st.sampled_from([None, None, 0.0, 1.0, 2.0, -0.4, np.inf]), st.sampled_from([0.0, 1.0]),
)  # fmt: skip
def test_derivatives_are_those_of_finite_differences(
    a: float, b: float, g: float, c: float, log_t: float, kappa: float | None, d: float
) -> None:
    at = np.array([a, b, g, c])
    log_times = np.array([log_t])

    def value(x: np.ndarray, order: int) -> tuple:
        return row_terms(log_times, d, dict(zip(PARAMETERS, x, strict=True)), kappa, order)

    _check(value, at)

    def within(x: np.ndarray, order: int) -> tuple:
        eta = dict(zip(PARAMETERS, x, strict=True))
        return interval_terms(log_times - 0.5, log_times, eta, kappa, order)

    if value(at, 0)[0] > -20:  # else the interval's likelihood is rounding
        _check(within, at)


def _check(call: object, at: np.ndarray) -> None:
    _, first, second = call(at, 2)  # type: ignore[operator]
    for i, p in enumerate(PARAMETERS):
        if p not in first:
            continue
        step = np.eye(4)[i] * 1e-5
        up, down = call(at + step, 1), call(at - step, 1)  # type: ignore[operator]
        slope = (up[0] - down[0]) / 2e-5
        size = 1 + abs(first[p][0]) + abs(slope[0])
        assert abs(slope[0] - first[p][0]) < 1e-5 * size * max(1, abs(up[0][0]))
        for q in first:
            pair = (p, q) if (p, q) in second else (q, p)
            curve = (up[1][q] - down[1][q]) / 2e-5
            assert np.all(np.abs(curve - second[pair]) < 1e-4 * (1 + np.abs(curve) + abs(size)))


def test_an_event_before_the_first_look_is_left_censored() -> None:
    eta = dict(zip(PARAMETERS, (0.1, 0.2, 0.3, 0.4), strict=True))
    log_t = np.log([2.0])
    low = np.full(1, -np.inf)
    found = interval_terms(low, log_t, eta, None, 2)
    close = interval_terms(np.log([1e-9]), log_t, eta, None, 2)
    assert found[0] == pytest.approx(close[0], rel=1e-6)
    for pair, curve in found[2].items():
        assert curve == pytest.approx(close[2][pair], rel=1e-4, abs=1e-6)


def test_a_wrong_family_names_the_nearest() -> None:
    with pytest.raises(
        EstimatorInputError, match=r"unknown family 'weibul'\. Did you mean 'weibull'"
    ):
        special_case("weibul")
    assert special_case("Burr XII").name == "burr-xii"
    with pytest.raises(EstimatorInputError, match=r"'log-logistic' has no PH structure.*burr-xii"):
        special_case("log-logistic").defaults("ph")
