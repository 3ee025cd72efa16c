"""Tests and effect sizes, against known figures and their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from parsimony.core import significance
from parsimony.core.errors import InputError

A = [182.1, 179.4, 185.3, 180.8, 183.9]
B = [175.2, 177.8, 172.9, 176.4, 178.1]
C = [181.0, 178.2, 183.5, 179.9, 182.4]


def test_the_tests_give_the_known_figures() -> None:
    welch = significance.welch_t(A, B)
    assert (welch.statistic, welch.freedom, welch.p) == (
        pytest.approx(4.382456, abs=1e-6),
        pytest.approx(7.912690, abs=1e-6),
        pytest.approx(0.00240357, abs=1e-8),
    )
    assert significance.student_t(A, B).p == pytest.approx(0.00234107, abs=1e-8)
    found = significance.anova(A, B, C)
    assert (found.statistic, found.p, found.freedom) == (
        pytest.approx(11.222771, abs=1e-6),
        pytest.approx(0.00178768, abs=1e-8),
        12,
    )
    assert significance.levene(A, B, C).p == pytest.approx(0.937398, abs=1e-6)
    ranks = significance.kruskal(A, B, C)
    assert ranks.statistic == pytest.approx(9.62, abs=1e-6)
    assert ranks.p == pytest.approx(0.00814786, abs=1e-8)
    assert significance.cohen_d(A, B) == pytest.approx(2.771708, abs=1e-6)


def test_welch_follows_from_its_formula() -> None:
    a, b = np.array(A), np.array(B)
    va, vb = a.var(ddof=1) / 5, b.var(ddof=1) / 5
    welch = significance.welch_t(A, B)
    assert welch.statistic == pytest.approx((a.mean() - b.mean()) / np.sqrt(va + vb), rel=1e-12)
    assert welch.freedom == pytest.approx((va + vb) ** 2 / (va**2 / 4 + vb**2 / 4), rel=1e-12)


def test_paired_t_is_the_t_of_the_differences() -> None:
    d = np.array(A) - B
    found = significance.paired_t(A, B)
    t = d.mean() / (d.std(ddof=1) / np.sqrt(5))
    assert found.statistic == pytest.approx(t, rel=1e-12)
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4), rel=1e-12)
    assert significance.paired_d(A, B) == pytest.approx(t / np.sqrt(5), rel=1e-12)
    low, high = significance.interval(A, B)
    assert high - d.mean() == pytest.approx(stats.t.ppf(0.975, 4) * d.std(ddof=1) / np.sqrt(5))
    assert low + high == pytest.approx(2 * d.mean())


def test_wilcoxon_of_all_positive_differences() -> None:
    found = significance.wilcoxon([1.1, 2.3, 3.6, 4.2, 5.9], [1, 2, 3, 4, 5])
    assert found.p == pytest.approx(2 / 2**5)  # all signs alike, of 2^5 equally likely


def test_welch_anova_of_two_groups_is_welch_t() -> None:
    several, two = significance.welch_anova(A, B), significance.welch_t(A, B)
    assert several.statistic == pytest.approx(two.statistic**2)
    assert several.p == pytest.approx(two.p)


def test_hedges_shrinks_cohen() -> None:
    ratio = significance.hedges_g(A, B) / significance.cohen_d(A, B)
    assert ratio == pytest.approx(1 - 3 / (4 * 10 - 9))


def test_normal_values_look_normal() -> None:
    assert significance.shapiro(stats.norm.ppf(np.linspace(0.02, 0.98, 30))).p > 0.9
    assert significance.shapiro(np.exp(np.linspace(0, 8, 30))).p < 1e-3


def test_equivalence_is_the_worse_of_two_one_sided_tests() -> None:
    d = np.array(A) - C
    found = significance.equivalence(A, C, 3.0)
    error = d.std(ddof=1) / np.sqrt(5)
    assert found.p == pytest.approx(stats.t.cdf((d.mean() - 3) / error, 4), rel=1e-9)
    assert found.p < 0.05
    assert significance.equivalence(A, C, 1.0).p > 0.5  # the mean difference is 1.3


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5))
def test_equivalence_agrees_with_the_interval(seed: int, margin: float) -> None:
    """TOST at 5 % holds exactly where the 90 % interval lies inside the margin."""
    a, b = np.random.default_rng(seed).normal(size=(2, 8))
    low, high = significance.interval(a, b, 0.9)
    inside = -margin < low and high < margin
    assert (significance.equivalence(a, b, margin).p < 0.05) == inside


def test_corrections_follow_their_definitions() -> None:
    p = [0.01, 0.04, 0.03]
    assert significance.holm(p) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.9, 0.6]) == [1.0, 1.0]
    assert significance.benjamini_hochberg(p) == pytest.approx([0.03, 0.04, 0.04])
    assert significance.holm([]) == []


def test_what_no_test_can_answer_is_refused() -> None:
    with pytest.raises(InputError, match=r"at least 2 runs per group, all finite, but got \[1\.0"):
        significance.welch_t([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="no group has any variance"):
        significance.welch_t([1.0, 1.0], [2.0, 2.0])
    with pytest.raises(InputError, match="no group has any variance"):
        significance.paired_t([1.0, 2.0], [2.0, 3.0])
    with pytest.raises(InputError, match=r"pairs need as many runs in both groups, but got \(\(2,"):
        significance.paired_t([1.0, 2.0], [2.0, 3.0, 4.0])
    with pytest.raises(InputError, match="a test of normality needs at least 3 runs, but got 2"):
        significance.shapiro([1.0, 2.0])
    with pytest.raises(InputError, match=r"margin of equivalence must be positive, but got 0\.0"):
        significance.equivalence(A, B, 0.0)
    with pytest.raises(InputError, match=r"p-values must be in \[0, 1\], but got \[1\.1\]"):
        significance.holm([1.1])


def test_rounding_is_no_variance() -> None:
    with pytest.raises(InputError, match="no group has any variance"):
        significance.paired_t([0.3, 0.1 + 0.2, 0.3], [0.1, 0.1, 0.1])
