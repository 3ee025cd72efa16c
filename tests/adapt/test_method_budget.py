"""The largest size that fits is really the largest, and a refusal names a budget that works."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from parsimony.adapt import solve
from parsimony.adapt.method import methods
from parsimony.adapt.setup import Setup
from parsimony.core import cost, pretrained
from parsimony.core.budget import Budget
from parsimony.core.errors import BudgetError, InputError
from parsimony.testing import tiny

OVERHEAD = 50 * 2**20
NAMES = sorted(name for name in methods() if name != "full")


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tiny.write(tmp_path_factory.mktemp("bert"))
    return tiny.setup(folder, "text-classification", ("a", "b", "c"))


@functools.cache
def count(folder: Path, name: str, size: int) -> int:
    """Trainable parameters of a method on a real model."""
    made = tiny.setup(folder, "text-classification", ("a", "b", "c"))
    return cost.count(made.adapted(name, size, 0.0, 0))[1]


@functools.cache
def total(folder: Path) -> int:
    made = tiny.setup(folder, "text-classification", ("a", "b", "c"))
    return cost.count(pretrained.load(made.model, made.task, made.labels))[0]


@given(name=st.sampled_from(NAMES), exponent=st.floats(-2.5, 0))
@settings(max_examples=20)
def test_the_largest_size_within_a_share(setup: Setup, name: str, exponent: float) -> None:
    assume(methods()[name].refusal(setup.facts) is None)
    limit = 10**exponent
    folder = setup.folder
    counts = {s: count(folder, name, s) for s in methods()[name].sizes(setup.facts)}
    fits = {size for size, number in counts.items() if number <= limit * total(folder)}
    try:
        options, dropped = solve.solve(setup, Budget(trainable=limit), [name], lambda _: OVERHEAD)
    except BudgetError as error:
        assert not fits
        met, _ = solve.solve(setup, Budget.parse(error.nearest), [name], lambda _: OVERHEAD)
        assert met[name].step.trainable == min(counts.values())
        return
    assert dropped == []
    found = options[name]
    assert found.size in fits
    assert found.step.trainable == counts[found.size] == max(counts[size] for size in fits)


@given(name=st.sampled_from(["lora", "prompt", "vera", "ia3"]), place=st.floats(0.9, 1.1))
@settings(max_examples=12)
def test_the_largest_size_within_a_memory(setup: Setup, name: str, place: float) -> None:
    way, facts = methods()[name], setup.facts
    peaks = {size: peak(setup, name, size) for size in way.sizes(facts)}
    limit = place * (min(peaks.values()) + max(peaks.values())) / 2 + OVERHEAD
    fits = {size for size, bytes_ in peaks.items() if bytes_ + OVERHEAD <= limit}
    try:
        options, _ = solve.solve(setup, Budget(memory=limit), [name], lambda _: OVERHEAD)
    except BudgetError as error:
        assert not fits
        met, _ = solve.solve(setup, Budget.parse(error.nearest), [name], lambda _: OVERHEAD)
        assert name in met
        return
    assert options[name].size == max(fits)
    assert set(options[name].smaller) <= fits


def peak(setup: Setup, name: str, size: int) -> int:
    return _peak(setup.folder, name, size)


@functools.cache
def _peak(folder: Path, name: str, size: int) -> int:
    made = tiny.setup(folder, "text-classification", ("a", "b", "c"))
    return solve.step_cost(made, name, size)[0].peak_bytes


@pytest.mark.parametrize(
    ("budget", "names"),
    [
        (Budget(trainable=0.5), ["full"]),
        (Budget(trainable=1e-5), ["lora", "vera"]),
        (Budget(memory=1e5), ["lora", "prompt"]),
        (Budget(memory=1e4), ["linear-probe"]),
        (Budget(trainable=1e-5, memory=1e4), ["lora", "ia3"]),
        (Budget(trainable=0.02, memory=1e4), ["lora", "ia3"]),
        (Budget(trainable=0.02, memory=1e4, time=600), ["lora", "bias"]),
    ],
)
@pytest.mark.parametrize("overhead", [0, OVERHEAD])
def test_the_nearest_budget_can_be_met(
    setup: Setup, budget: Budget, names: list[str], overhead: int
) -> None:
    with pytest.raises(BudgetError, match="no method fits the budget") as caught:
        solve.solve(setup, budget, names, lambda _: overhead)
    nearest = Budget.parse(caught.value.nearest)
    assert solve.solve(setup, nearest, names, lambda _: overhead)[0]
    assert nearest.time == budget.time
    if budget.trainable is None:
        assert nearest.trainable is None


def test_what_is_dropped_says_why(setup: Setup) -> None:
    options, dropped = solve.solve(
        setup, Budget(trainable=0.01), ["full", "linear-probe"], lambda _: 0
    )
    assert list(options) == ["linear-probe"]
    assert [d.method for d in dropped] == ["full"]
    assert dropped[0].reason == "needs at least 100% of the parameters, more than trainable=1%"


def test_a_model_that_every_method_refuses_is_no_matter_of_budget(tmp_path: Path) -> None:
    setup = tiny.setup(tiny.write(tmp_path, "gpt2"), "causal-lm")
    with pytest.raises(InputError, match=r"none of the methods can adapt this model.*Conv1D"):
        solve.solve(setup, Budget(trainable=0.5), ["oft", "bias"], lambda _: 0)
