"""The bootstrap against what is known in closed form."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.core.trials import Interval, bootstrap, paired


def crossed_variance(scores: np.ndarray) -> float:
    """Variance of the mean when seeds and rows are resampled independently.

    With multinomial weights u (seeds) and v (rows), E[u u'] = I/S^2 + (1 - 1/S) 11'/S^2 and the
    same for v, so E[(u' X v)^2] is the sum below over the four products.
    """
    seeds, rows = scores.shape
    second_s = (np.eye(seeds) + (1 - 1 / seeds) * np.ones((seeds, seeds))) / seeds**2
    second_r = (np.eye(rows) + (1 - 1 / rows) * np.ones((rows, rows))) / rows**2
    return (
        float(np.einsum("ij,ik,jl,kl->", scores, second_s, second_r, scores)) - scores.mean() ** 2
    )


@pytest.mark.parametrize("shape", [(3, 40), (5, 200), (1, 60), (4, 1)])
def test_the_interval_is_as_wide_as_the_crossed_variance_says(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(1).normal(size=shape)
    if shape[0] == 1:
        assert crossed_variance(scores) == pytest.approx(scores.var() / shape[1])
    interval = bootstrap(scores, resamples=20_000)
    deviation = crossed_variance(scores) ** 0.5
    for end, quantile in ((interval.low, 0.025), (interval.high, 0.975)):
        expected = scores.mean() + NormalDist().inv_cdf(quantile) * deviation
        # Few units make the distribution coarse: the normal form holds for the larger shapes.
        if min(n for n in shape if n > 1) >= 5:
            assert abs(end - expected) < 0.08 * deviation
    assert interval.low <= interval.estimate <= interval.high


def test_the_closed_form_is_that_of_a_full_enumeration() -> None:
    scores = np.array([[0.0, 2.0, 5.0], [1.0, 1.0, 4.0]])
    means = [
        scores[np.ix_([a, b], [i, j, k])].mean()
        for a in range(2) for b in range(2)
        for i in range(3) for j in range(3) for k in range(3)
    ]  # fmt: skip
    assert crossed_variance(scores) == pytest.approx(np.var(means))
    interval = bootstrap(scores, resamples=50_000)
    for end, quantile in ((interval.low, 0.025), (interval.high, 0.975)):
        below = np.mean(np.array(means) < end - 1e-9)
        at_most = np.mean(np.array(means) < end + 1e-9)
        assert below - 0.003 <= quantile <= at_most + 0.003


@pytest.mark.parametrize(("binary", "seeds"), [(False, 3), (True, 3), (False, 1)])
def test_the_interval_covers_the_truth_as_often_as_it_says(binary: bool, seeds: int) -> None:
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        rows = random.normal(size=(1, 120))
        noise = random.normal(size=(seeds, 120))
        scores = (rows + noise > 0).astype(float) if binary else rows + noise
        interval = bootstrap(scores, resamples=2000)
        covered += interval.low <= (0.5 if binary else 0.0) <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_identical_candidates_differ_by_exactly_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 50))
    interval = paired(scores, scores.copy())
    assert (interval.estimate, interval.low, interval.high) == (0.0, 0.0, 0.0)
    assert interval.spans_zero


def test_pairing_cancels_what_the_rows_share() -> None:
    random = np.random.default_rng(3)
    difficulty = 5 * random.normal(size=(1, 80))
    first = difficulty + 0.5 + 0.1 * random.normal(size=(3, 80))
    second = difficulty + 0.1 * random.normal(size=(3, 80))
    difference = paired(first, second)
    alone = bootstrap(first)
    assert difference.high - difference.low < 0.1 * (alone.high - alone.low)
    assert not difference.spans_zero
    assert difference.estimate == pytest.approx(first.mean() - second.mean())


def test_a_shifted_or_scaled_table_shifts_and_scales_its_interval() -> None:
    scores = np.random.default_rng(5).normal(size=(3, 30))
    base, moved = bootstrap(scores), bootstrap(4 - 2 * scores, seed=0)
    assert moved.low == pytest.approx(4 - 2 * base.high)
    assert moved.high == pytest.approx(4 - 2 * base.low)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30))
def test_equal_input_gives_equal_output(seed: int, seeds: int, rows: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(seeds, rows))
    first = bootstrap(scores, seed=seed, resamples=2001)
    assert first == bootstrap(scores, seed=seed, resamples=2001)
    assert scores.min() - 1e-12 <= first.low <= first.high <= scores.max() + 1e-12


def test_more_confidence_is_wider_and_nested() -> None:
    scores = np.random.default_rng(2).normal(size=(3, 60))
    wide, narrow = bootstrap(scores, confidence=0.99), bootstrap(scores, confidence=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 0), (2, 2, 2)])
def test_a_shape_that_is_no_table_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        bootstrap(np.zeros(shape))
    assert str(caught.value) == f"scores must have shape (seeds, rows), none empty, but got {shape}"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_numbers_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="scores must be finite"):
        bootstrap(np.array([[0.0, value]]))


@pytest.mark.parametrize("given_", [{"resamples": 1999}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_too_few_resamples_and_no_confidence_are_refused(given_: dict[str, float]) -> None:
    with pytest.raises(InputError, match="an interval needs at least 2000 resamples and a conf"):
        bootstrap(np.zeros((2, 2)), **given_)


def test_a_pair_needs_the_same_seeds_and_rows() -> None:
    with pytest.raises(InputError) as caught:
        paired(np.zeros((3, 4)), np.zeros((3, 5)))
    assert "paired scores need the same seeds and rows, but got ((3, 4), (3, 5))" in str(
        caught.value
    )


def test_zero_at_the_end_of_an_interval_is_inside_it() -> None:
    assert Interval(0.5, 0.0, 1.0).spans_zero
    assert not Interval(0.5, 1e-12, 1.0).spans_zero
    assert Interval(1, 2, 3).as_dict() == {"estimate": 1, "low": 2, "high": 3}
