"""Power of t tests, against the noncentral t distribution and known figures."""

from __future__ import annotations

import pytest
from scipy import stats

from parsimony.core import power
from parsimony.core.errors import InputError


@pytest.mark.parametrize(
    ("effect", "runs"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (2.0, 6), (0.75, 29)]
)
def test_runs_per_group(effect: float, runs: int) -> None:
    assert power.runs_needed(effect) == runs
    assert power.power_of(effect, runs) >= 0.8 > power.power_of(effect, runs - 1)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(("effect", "runs"), [(0.75, 5), (0.3, 40), (2.0, 3)])
def test_power_is_that_of_the_noncentral_t(effect: float, runs: int, paired: bool) -> None:
    freedom = runs - 1 if paired else 2 * (runs - 1)
    shift = effect * (runs if paired else runs / 2) ** 0.5
    edge = stats.t.ppf(0.975, freedom)
    closed = stats.nct.sf(edge, freedom, shift) + stats.nct.cdf(-edge, freedom, shift)
    assert power.power_of(effect, runs, paired=paired) == pytest.approx(closed, abs=1e-6)
    assert power.power_of(-effect, runs, paired=paired) == power.power_of(
        effect, runs, paired=paired
    )


def test_the_papers_five_runs_see_little() -> None:
    assert power.power_of(9 / 12, 5) == pytest.approx(0.18, abs=0.005)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("runs", [2, 5, 64])
def test_what_is_detectable_has_that_power(runs: int, paired: bool) -> None:
    effect = power.detectable(runs, paired=paired)
    assert power.power_of(effect, runs, paired=paired) == pytest.approx(0.8, abs=1e-6)


def test_more_runs_are_counted_from_those_there_are() -> None:
    assert power.more_runs(0.5, 20) == 44
    assert power.more_runs(2.0, 20) == 0


def test_bad_questions_are_refused() -> None:
    with pytest.raises(InputError, match="alpha and power must be between 0 and 1, but got"):
        power.runs_needed(0.5, alpha=0.0)
    with pytest.raises(InputError, match="a test needs at least 2 runs per group, but got 1"):
        power.power_of(0.5, 1)
    with pytest.raises(InputError, match=r"no number of runs up to 1,000,000 .* but got 0\.0"):
        power.runs_needed(0.0)
