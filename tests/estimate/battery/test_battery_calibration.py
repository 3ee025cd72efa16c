"""Samplers against quadrature, information against its closed form, and the bisection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsimony.core.errors import InputError
from parsimony.estimate.battery.calibration import (
    Correction,
    Ensemble,
    Nuts,
    find_noise,
    solver_curves,
)
from parsimony.estimate.battery.cell import Box
from parsimony.estimate.battery.identifiability import (
    Identifiability,
    identify,
    least_squares,
    prior_sd,
    sensitivities,
)
from parsimony.estimate.battery.posterior import Posterior

BOX = Box()
TIMES = np.linspace(0, 1, 25)
SIGMA = 0.01


def toy(k: Any) -> Any:
    """Straight in 1/k: (..., n) of (..., 2), in any library."""
    return 0.05 * TIMES / k[..., :1] + 0.05 * (1 - TIMES) ** 2 / k[..., 1:]


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, SIGMA, len(TIMES))
    return np.asarray(toy(np.array([1.2, 2.0]))) + noise


def quadrature(voltage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the posterior on a fine grid."""
    sides = [np.linspace(low, high, 701)[:-1] + (high - low) / 1400
             for low, high in (BOX.k1, BOX.k2)]  # fmt: skip
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
    logs = -0.5 * (((toy(grid) - voltage) / SIGMA) ** 2).sum(axis=1)
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    mean = weight @ grid
    return mean, np.sqrt(weight @ (grid - mean) ** 2)


def agrees(found: Posterior, voltage: np.ndarray) -> None:
    mean, sd = quadrature(voltage)
    error = sd / np.sqrt(found.ess)
    assert (np.abs(found.mean - mean) < 4 * error).all()
    assert found.sd == pytest.approx(sd, rel=0.1)
    assert (found.r_hat < 1.02).all() and (found.ess > 400).all()


def test_the_ensemble_agrees_with_quadrature(data: np.ndarray) -> None:
    found = Ensemble(toy, BOX).draw(data, SIGMA, draws=200)
    assert found.draws.shape == (64, 200, 2)
    agrees(found, data)


def test_nuts_agrees_with_quadrature(data: np.ndarray) -> None:
    """On curves that are off by up to 30 mV, which the correction takes off."""

    def off(k: Any) -> Any:
        return toy(k) + 0.01 / k[..., :1] ** 2 - 0.01 * TIMES / (k[..., :1] * k[..., 1:])

    told = identify(toy, np.array([1.2, 2.0]), SIGMA, BOX)
    correction = Correction(off, toy, told)
    k = np.random.default_rng(0).uniform(BOX.low, BOX.high, (50, 2))
    low, high = correction.ends.T
    k = k[((1 / k >= low) & (1 / k <= high)).all(axis=1)]
    assert len(k) > 10 and np.allclose(off(k) + correction(k), toy(k), atol=1e-9)
    # Beyond its reach it is that of the end.
    far = np.array([[1e3, 1e3]])
    assert np.allclose(correction(far), correction(1 / low[None]))
    found = Nuts(lambda k: off(k) + correction(k), BOX).draw(data, SIGMA, warmup=300, draws=600)
    assert found.draws.shape == (4, 600, 2) and found.divergences < 5
    assert found.acceptance == pytest.approx(0.9, abs=0.08)
    agrees(found, data)


def test_the_same_seed_gives_the_same_draws(data: np.ndarray) -> None:
    one, other, third = (
        Ensemble(toy, BOX, 16).draw(data, SIGMA, warmup=5, draws=10, seed=s).draws
        for s in (1, 1, 2)
    )
    assert np.array_equal(one, other) and not np.array_equal(one, third)


def test_the_information_is_the_closed_form() -> None:
    at = np.array([1.2, 2.0])
    exact = np.stack([-0.05 * TIMES / at[0] ** 2, -0.05 * (1 - TIMES) ** 2 / at[1] ** 2], axis=1)
    assert np.allclose(sensitivities(toy, at), exact, rtol=1e-4, atol=1e-12)
    found = identify(toy, at, SIGMA, BOX)
    assert found.fisher == pytest.approx(exact.T @ exact / SIGMA**2, rel=1e-3)
    assert found.covariance @ found.fisher == pytest.approx(np.eye(2), abs=1e-8)
    assert found.swing == pytest.approx([0.05 * (2 - 0.25), 0.05 * (1 - 0.1)])


def test_what_is_told_does_not_depend_on_where_it_is_asked() -> None:
    """In 1/k these curves are straight, so the verdict is the same all over the box."""
    here, there = (identify(toy, np.array(at), SIGMA, BOX).ratios for at in ([0.6, 1.2], [3.9, 9]))
    assert here == pytest.approx(there, rel=1e-3)


def test_the_priors_of_the_reciprocals() -> None:
    draws = np.random.default_rng(0).uniform(BOX.low, BOX.high, (200_000, 2))
    assert prior_sd(BOX) == pytest.approx(draws.std(axis=0), rel=0.01)
    unit = Identifiability(np.ones(2), np.eye(2), np.ones(2), 1.0, BOX)  # standard errors of 1
    assert 1 / unit.ratios == pytest.approx((1 / draws).std(axis=0), rel=0.02)


def test_a_flat_parameter_is_named_before_and_after() -> None:
    def flat(k: Any) -> Any:
        return 0.05 * (1 - TIMES) ** 2 / k[..., 1:] + 0 * k[..., :1]

    voltage = flat(np.array([1.2, 2.0])) + np.random.default_rng(0).normal(0, SIGMA, len(TIMES))
    told = identify(flat, np.array([1.2, 2.0]), SIGMA, BOX)
    assert told.verdicts()[0] == "not told" and np.isinf(told.standard_errors).all()
    assert "k1 (anode exchange current) is not told by this curve" in told.sentences()[0]
    assert told.as_dict()["k1"]["standard_error"] is None
    found = Ensemble(flat, BOX, 32).draw(voltage, SIGMA, draws=100)
    said = [s for s in found.sentences() if "posterior of k1" in s]
    assert said and "equals its prior" in said[0]


def test_what_moves_together_is_named() -> None:
    def alike(k: Any) -> Any:
        return 0.05 * (TIMES + 1) / k[..., :1] + 0.05 * (TIMES + 1.02) / k[..., 1:]

    said = identify(alike, np.array([1.0, 2.0]), 1e-5, BOX).sentences()
    assert any("told together, not apart" in s for s in said)


def test_least_squares_finds_the_curve_within_the_box() -> None:
    for at in ([1.2, 2.0], [3.0, 8.0]):
        assert least_squares(toy, toy(np.array(at)), BOX) == pytest.approx(at, rel=1e-5)
    outside = least_squares(toy, toy(np.array([1.0, 0.7])), BOX)
    assert outside[1] == pytest.approx(1.0)


def test_what_speaks_against_draws_is_said() -> None:
    random = np.random.default_rng(0)
    apart = random.normal([[[1.0, 2.0]], [[3.0, 2.0]]], 0.05, (2, 40, 2))
    said = " ".join(Posterior(apart, 0.003, BOX, "none", 2, 0.9, 3, 1.0).sentences())
    assert "the chains have not mixed" in said and "independent draws" in said
    assert "3 transitions diverged" in said
    edge = np.stack([np.abs(random.normal(0, 0.1, (4, 500))) + 0.5,
                     random.normal(5, 0.1, (4, 500))], axis=-1)  # fmt: skip
    cut = Posterior(edge, 0.003, BOX, "none", 4, 0.9, 0, 1.0).sentences()
    assert cut == ["the posterior is cut off by the box at k1 = 0.5"]


def test_the_bisection_ends_just_above_the_largest_residual() -> None:
    """With a posterior of one curve it halves towards half of the largest distance."""
    voltage, curve = np.zeros(3), np.array([0.001, -0.008, 0.004])

    def draw(sigma: float) -> Posterior:
        return Posterior(np.ones((2, 4, 2)), sigma, BOX, "none", 2, 1.0, 0, 0.0)

    def curves(k: np.ndarray) -> np.ndarray:
        return np.tile(curve, (len(k), 1))

    sigma, rounds = find_noise(draw, curves, voltage, rounds=12)
    assert 0.004 <= sigma < 0.00405
    assert [one.sigma for one in rounds[:3]] == [0.01, 0.0055, 0.00325]
    assert [one.inside for one in rounds[:3]] == [True, True, False]


def test_a_model_that_explains_nothing_is_refused() -> None:
    def draw(sigma: float) -> Posterior:
        return Posterior(np.ones((2, 4, 2)), sigma, BOX, "none", 2, 1.0, 0, 0.0)

    with pytest.raises(InputError, match=r"no curve of the posterior stays within .* mV"):
        find_noise(draw, lambda k: np.ones((len(k), 3)), np.zeros(3))


def test_the_solver_is_smooth_enough_to_differentiate() -> None:
    """A thousandth and a ten-thousandth of k give the same slope."""
    curves = solver_curves(np.linspace(10, 1350, 20))
    at = np.array([2.0, 2.0])
    step = np.diag(1e-4 * at)
    close = (curves(at + step) - curves(at - step)) / (2e-4 * at)[:, None]
    assert np.allclose(sensitivities(curves, at).T, close, rtol=1e-3, atol=1e-7)


def test_draws_are_weighted_to_other_curves(data: np.ndarray) -> None:
    """Weighted to curves that are moved, they have the mean of the posterior that is moved."""
    found = Ensemble(toy, BOX).draw(data, SIGMA, draws=200)

    def other(k: Any) -> Any:
        return toy(k) + 0.002 * TIMES

    assert found.moved(toy, toy, data) == pytest.approx([0, 0], abs=1e-9)
    exact = np.abs(quadrature(data - 0.002 * TIMES)[0] - quadrature(data)[0]) / found.sd
    assert found.moved(toy, other, data, 12_800) == pytest.approx(exact, abs=0.05)
