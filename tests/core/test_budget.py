"""A budget in one line: what is written reads back, and every slip is named."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.budget import Budget
from parsimony.core.errors import InputError

_shares = st.none() | st.floats(0, 1, exclude_min=True, allow_subnormal=False)
_amounts = st.none() | st.floats(0, 1e300, exclude_min=True, allow_subnormal=False)
_budgets = st.builds(
    Budget, trainable=_shares, memory=_amounts, size=_shares,
    time=_amounts, energy=_amounts, latency=_amounts,
)  # fmt: skip


@given(_budgets)
def test_every_budget_reads_back_to_itself(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


def test_the_example_of_the_documentation() -> None:
    budget = Budget.parse(
        "trainable=0.5%, memory=8GiB, size=25%, time=30min, energy=50Wh, latency=20ms"
    )
    assert budget == Budget(0.005, 8 * 2**30, 0.25, 1800, 50, 0.02)
    assert str(budget) == (
        "trainable=0.5%, memory=8589934592B, size=25%, time=1800s, energy=50Wh, latency=0.02s"
    )


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_nothing_said_is_no_limit(text: str) -> None:
    budget = Budget.parse(text)
    assert all(getattr(budget, field.name) is None for field in fields(budget))
    assert str(budget) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memroy=8GiB", "unknown budget key 'memroy', but got 'memroy=8GiB'. Did you mean 'mem"),
        ("xyz=1", "Known: energy, latency, memory, size, time, trainable"),
        ("time=1h, time=2h", "budget key 'time' is given twice"),
        ("time", "budget key 'time' needs a value, but got 'time'. For example: \"trainable=0.5%"),
        ("time=", "budget key 'time' needs a value"),
        ("time=5parsecs", "a quantity in seconds needs a number and a unit, but got '5parsecs'"),
        ("time=5", "Units: ms, s, min, h, d"),
        ("trainable=0.5", "Units: %"),
        ("trainable=101%", "budget key 'trainable' is a share of at most 100%"),
        ("size=0%", "a budget must be a positive finite number, but got '0%'"),
        ("energy=0Wh", "a budget must be a positive finite number"),
        ("memory=-1GiB", "a quantity in bytes needs a number and a unit, but got '-1GiB'"),
        ("memory=nanGiB", "but got 'nanGiB'"),
        ("memory=infGiB", "but got 'infGiB'"),
        ("memory=1e999B", "a budget must be a positive finite number, but got '1e999B'"),
    ],
)  # fmt: skip
def test_every_slip_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Budget.parse(text)
    assert message in str(caught.value)


def test_exactly_all_is_a_share() -> None:
    assert Budget.parse("trainable=100%").trainable == 1
