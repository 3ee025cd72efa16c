"""Simulated studies find what the power says they find; shuffling keeps drift out."""

from __future__ import annotations

import pytest

from parsimony.core import power
from parsimony.core.errors import InputError
from parsimony.plan.energy_study.simulation import rejection_rate

ERROR = 0.02  # more than three standard errors of 5,000 studies


@pytest.mark.parametrize("runs", [5, 29])
def test_the_papers_design_finds_what_its_power_says(runs: int) -> None:
    """Nine watts of difference, twelve of noise: five runs see it one time in six."""
    found = rejection_rate(runs, -9.0, 12.0, paired=False)
    assert found == pytest.approx(power.power_of(9 / 12, runs), abs=ERROR)


@pytest.mark.parametrize("runs", [5, 15])
def test_pairs_find_what_their_power_says(runs: int) -> None:
    found = rejection_rate(runs, -9.0, 12.0)
    effect = 9 / (12 * 2**0.5)  # of the difference of two runs
    assert found == pytest.approx(power.power_of(effect, runs, paired=True), abs=ERROR)


@pytest.mark.parametrize("paired", [False, True])
def test_nothing_is_found_where_nothing_is(paired: bool) -> None:
    assert rejection_rate(5, 0.0, 12.0, paired=paired) == pytest.approx(0.05, abs=0.01)


def test_drift_is_no_effect_in_shuffled_blocks_and_one_in_a_fixed_order() -> None:
    """One watt more with every run, and no difference between the arms."""
    shuffled = rejection_rate(10, 0.0, 12.0, drift=1.0)
    fixed = rejection_rate(10, 0.0, 12.0, drift=1.0, shuffled=False)
    assert shuffled == pytest.approx(0.05, abs=0.01)
    assert fixed > 0.3


def test_a_study_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="needs 2 runs and a positive deviation, but got"):
        rejection_rate(1, 0.0, 1.0)
