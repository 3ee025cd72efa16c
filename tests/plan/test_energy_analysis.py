"""What runs show: verdicts, corrections, and what a reader is warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parsimony.core import power, significance
from parsimony.plan.energy_study.analysis import Findings, Trial, analyse
from parsimony.plan.energy_study.config import Study, parse

ARMS = [{"name": "fp32", "command": ["a"]}, {"name": "bf16", "command": ["b"]}]


def study(**settings: Any) -> Study:
    return parse({"arms": ARMS, **settings}, "made")


def trials(joules: np.ndarray, seconds: np.ndarray | None = None, **both: Any) -> list[Trial]:
    """Two arms; ``joules`` of shape (runs, 2)."""
    seconds = np.full_like(joules, 10.0) if seconds is None else seconds
    return [
        Trial(block, arm["name"], float(joules[block, a]), float(seconds[block, a]), "measured",
              **both)
        for block in range(len(joules))
        for a, arm in enumerate(ARMS)
    ]  # fmt: skip


def drawn(shift: float, noise: float = 1.0, runs: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(1000, noise, (runs, 2)) + np.array([0.0, shift])


def energy(found: Findings) -> Any:
    return next(c for c in found.comparisons if c.response.startswith("energy"))


def test_a_saving_is_shown_with_its_interval_and_n() -> None:
    joules = drawn(-200.0)
    found = energy(analyse(study(), trials(joules)))
    test = significance.paired_t(joules[:, 1], joules[:, 0])
    assert found.p == test.p
    assert (found.verdict, found.pairs, found.more_runs) == ("lower", 12, None)
    assert found.low < found.difference < found.high < 0
    assert found.line.startswith("bf16: energy -199.5 J (-20.0%; ")
    assert found.line.endswith("n = 12: lower")


def test_p_values_are_corrected_over_all_responses() -> None:
    random = np.random.default_rng(1)
    found = analyse(study(), trials(drawn(-1.0), random.normal(10, 0.1, (12, 2))))
    raw = [c.p for c in found.comparisons]
    assert len(raw) == 3
    assert [c.corrected for c in found.comparisons] == significance.holm(raw)


def test_equal_arms_are_equivalent_and_not_merely_not_shown() -> None:
    found = energy(analyse(study(margin=0.01), trials(drawn(0.0))))
    assert found.verdict == "equivalent within 1.0%"
    assert found.more_runs is None


def test_what_is_not_shown_says_how_many_more_runs() -> None:
    found = energy(analyse(study(margin=0.001), trials(drawn(-1.0, 6.0, runs=5))))
    assert found.verdict == "not shown"
    level = 0.05 / 2  # time has no variance here: two tests
    assert found.more_runs == power.more_runs(found.effect, 5, alpha=level, paired=True)
    assert found.line.endswith(f"not shown; you need {found.more_runs} more runs")


def test_arms_of_different_length_are_compared_per_sample_only() -> None:
    made = trials(drawn(-500.0))
    halved = [
        Trial(t.block, t.arm, t.joules, t.seconds, t.quality, 50.0 if t.arm == "bf16" else 100.0)
        for t in made
    ]
    found = analyse(study(), halved)
    assert "arms went through different numbers of samples: compared per sample only" in (
        found.warnings
    )
    assert {c.response for c in found.comparisons} <= {"energy per sample", "power",
                                                       "time per sample"}  # fmt: skip
    assert energy(found).baseline == pytest.approx(10, abs=0.01)
    assert abs(energy(found).difference) < 0.05


def test_rejected_readings_leave_their_pair_out() -> None:
    made = trials(drawn(-200.0))
    made[0] = Trial(0, "fp32", None, 10.0, "none", reason="the window was short")
    found = analyse(study(), made)
    assert energy(found).pairs == 11
    assert "fp32: 1 readings rejected (the window was short)" in found.warnings


def test_one_run_is_no_test() -> None:
    found = analyse(study(), trials(drawn(-200.0, runs=1)))
    assert not found.comparisons
    assert found.untested[0].startswith("bf16, energy: a test needs at least 2 runs per group")


def test_no_variance_is_no_test() -> None:
    found = analyse(study(), trials(drawn(-200.0)))
    assert found.untested == (
        "bf16, time: a test needs runs that differ, but no group has any variance. "
        "A deterministic figure needs no test: compare the values",
    )


def test_a_saving_bought_with_accuracy_is_flagged() -> None:
    made = [
        Trial(t.block, t.arm, t.joules, t.seconds, t.quality,
              accuracy=0.9 if t.arm == "fp32" else 0.88)
        for t in trials(drawn(-200.0))
    ]  # fmt: skip
    assert analyse(study(), made).warnings == (
        "bf16: accuracy fell from 0.9 to 0.88, more than 0.01: what it saves is bought with "
        "accuracy",
    )
    assert analyse(study(accuracy_margin=0.03), made).warnings == ()


def test_estimates_and_other_machines_are_warned_of() -> None:
    made = [
        Trial(t.block, t.arm, t.joules, t.seconds, "estimated", machine=t.arm)
        for t in trials(drawn(-200.0, runs=2))
    ]
    assert analyse(study(), made).warnings == (
        "confounded: the arms of block 0, 1 ran in different sessions or on different machines",
        "confounded: the study ran on more than one kind of machine",
        "energy is estimated from models of the hardware: it mirrors little but time",
    )
