"""Is a difference real: tests, effect sizes and equivalence of groups of runs.

Every function refuses what no test can answer: fewer than two runs, or no variance at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from parsimony.core.errors import InputError

Group = npt.ArrayLike
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Test:
    """What a test found.

    Attributes:
        name: of the test.
        statistic: of the test's own kind (t, F, H, W).
        p: probability of a statistic as extreme without an effect.
        freedom: degrees of freedom of the denominator; ``None`` where it has none.
    """

    __test__ = False  # not one of pytest's

    name: str
    statistic: float
    p: float
    freedom: float | None = None


def paired_t(first: Group, second: Group) -> Test:
    """Two-sided t test of mean(first - second) = 0; equal shapes (n,), pair by pair."""
    a, b = _paired(first, second)
    found = stats.ttest_rel(a, b)
    return Test("paired t", float(found.statistic), float(found.pvalue), float(found.df))


def wilcoxon(first: Group, second: Group) -> Test:
    """Two-sided signed-rank test of first - second around 0; exact where few and without ties."""
    a, b = _paired(first, second)
    return _test("Wilcoxon", stats.wilcoxon(a, b))


def welch_t(first: Group, second: Group) -> Test:
    """Two-sided t test of equal means; variances may differ; shapes (n,) and (m,)."""
    a, b = _groups(first, second)
    found = stats.ttest_ind(a, b, equal_var=False)
    return Test("Welch t", float(found.statistic), float(found.pvalue), float(found.df))


def student_t(first: Group, second: Group) -> Test:
    """Two-sided t test of equal means, variances taken as equal; shapes (n,) and (m,)."""
    a, b = _groups(first, second)
    found = stats.ttest_ind(a, b)
    return Test("Student t", float(found.statistic), float(found.pvalue), float(found.df))


def anova(*groups: Group) -> Test:
    """One-way analysis of variance: are all means equal."""
    checked = _groups(*groups)
    rest = sum(len(g) for g in checked) - len(checked)
    found = stats.f_oneway(*checked)
    return Test("ANOVA", float(found.statistic), float(found.pvalue), float(rest))


def welch_anova(*groups: Group) -> Test:
    """One-way analysis of variance without equal variances (Welch 1951)."""
    return _test("Welch ANOVA", stats.f_oneway(*_groups(*groups), equal_var=False))


def kruskal(*groups: Group) -> Test:
    """Kruskal-Wallis: do all groups come from one distribution, by ranks."""
    return _test("Kruskal-Wallis", stats.kruskal(*_groups(*groups)))


def levene(*groups: Group) -> Test:
    """Levene around medians (Brown-Forsythe): are all variances equal."""
    return _test("Levene", stats.levene(*_groups(*groups)))


def shapiro(values: Group) -> Test:
    """Shapiro-Wilk: are the values normal; at least three."""
    (a,) = _groups(values)
    if len(a) < 3:
        raise InputError("a test of normality needs at least 3 runs", got=len(a))
    return _test("Shapiro-Wilk", stats.shapiro(a))


def holm(p: Sequence[float]) -> list[float]:
    """p-values that bound the chance of any false alarm among all tests (Holm 1979).

    The k-th smallest of m is multiplied by m + 1 - k, and is no smaller than the one before.

    Args:
        p: of the single tests; the result is in their order.

    Raises:
        InputError: a value outside [0, 1].
    """
    values = np.asarray(p, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError("p-values must be in [0, 1]", got=list(p))
    order = np.argsort(values)
    scaled = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty_like(scaled)
    found[order] = np.minimum(scaled, 1)
    return [float(value) for value in found]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """p-values that bound the expected share of false alarms among all alarms."""
    return [float(value) for value in stats.false_discovery_control(p)]


def cohen_d(first: Group, second: Group) -> float:
    """(mean(first) - mean(second)) / pooled standard deviation."""
    a, b = _groups(first, second)
    pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2)
    return float((a.mean() - b.mean()) / np.sqrt(pooled))


def hedges_g(first: Group, second: Group) -> float:
    """Cohen's d without its bias in small groups: d * (1 - 3 / (4 (n + m) - 9))."""
    count = np.size(first) + np.size(second)
    return cohen_d(first, second) * (1 - 3 / (4 * count - 9))


def paired_d(first: Group, second: Group) -> float:
    """mean(first - second) / standard deviation of first - second, pair by pair."""
    a, b = _paired(first, second)
    return float((a - b).mean() / (a - b).std(ddof=1))


def interval(first: Group, second: Group, confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the t interval of mean(first - second), pair by pair."""
    a, b = _paired(first, second)
    low, high = stats.ttest_rel(a, b).confidence_interval(confidence)
    return float(low), float(high)


def equivalence(first: Group, second: Group, margin: float) -> Test:
    """TOST: is |mean(first - second)| below ``margin``, pair by pair (Schuirmann 1987).

    p is the larger of two one-sided t tests: difference > -margin, and difference < margin.

    Args:
        first: shape (n,).
        second: shape (n,).
        margin: positive, in the unit of the values.

    Raises:
        InputError: a margin that is not positive; see the other tests for the rest.
    """
    if not margin > 0:
        raise InputError("the margin of equivalence must be positive", got=margin)
    a, b = _paired(first, second)
    above = stats.ttest_1samp(a - b, -margin, alternative="greater")
    below = stats.ttest_1samp(a - b, margin, alternative="less")
    worse = max(above, below, key=lambda found: float(found.pvalue))
    return Test("TOST", float(worse.statistic), float(worse.pvalue), float(worse.df))


def _test(name: str, found: Any) -> Test:
    return Test(name, float(found.statistic), float(found.pvalue))


def _groups(*groups: Group) -> list[npt.NDArray[np.float64]]:
    checked = [np.asarray(group, np.float64) for group in groups]
    _check(checked, max((float(np.abs(g).max()) for g in checked if g.size), default=0.0))
    return checked


def _check(checked: list[npt.NDArray[np.float64]], scale: float) -> None:
    """Refuse groups without variance; ``scale`` is that of the values, whose rounding is none."""
    for group in checked:
        if group.ndim != 1 or len(group) < 2 or not np.isfinite(group).all():
            raise InputError(
                "a test needs at least 2 runs per group, all finite", got=group.tolist(),
                hint="Repeat each arm with more seeds",
            )  # fmt: skip
    if not any(np.ptp(group) > _ROUNDING * scale for group in checked):
        raise InputError(
            "a test needs runs that differ, but no group has any variance",
            hint="A deterministic figure needs no test: compare the values",
        )


def _paired(first: Group, second: Group) -> list[npt.NDArray[np.float64]]:
    if np.shape(first) != np.shape(second):
        raise InputError("pairs need as many runs in both groups",
                         got=(np.shape(first), np.shape(second)))  # fmt: skip
    a, b = (np.asarray(group, np.float64) for group in (first, second))
    _check([a - b], max((float(np.abs(g).max()) for g in (a, b) if g.size), default=0.0))
    return [a, b]
