"""Windows, origins and the guard against leakage; kernels; subsets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import DataError, InputError
from parsimony.estimate.demand import selector, subsets, tasks
from parsimony.estimate.demand.generate import generate
from parsimony.estimate.demand.protocol import Protocol, Scaler, windows


def test_the_published_split() -> None:
    protocol = Protocol()
    assert (protocol.train, protocol.validation, protocol.test) == (27, 3, 6)
    assert [len(protocol.origins(p)) for p in ("train", "validation", "test")] == [19, 1, 4]
    assert protocol.origins("test") == (30, 31, 32, 33)
    assert protocol.origins("validation") == (27,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.test = 3


@given(st.integers(18, 80), st.integers(1, 6), st.integers(1, 4))
def test_any_length_keeps_the_parts_apart(months: int, context: int, horizon: int) -> None:
    protocol = Protocol(months, context, horizon, validation=4, test=5)
    ends = {p: protocol.origins(p)[-1] + horizon for p in ("train", "validation", "test")}
    assert ends == {"train": protocol.train, "validation": protocol.known, "test": months}
    assert protocol.origins("test")[0] == protocol.known == months - 5
    assert protocol.choosing()[-1] + horizon == protocol.known
    _, targets, origins = windows(np.arange(months)[None] * 1.0, context, horizon)
    assert (targets[:, 0, 0] == origins).all() and len(origins) == months - context - horizon + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"months": 8}, "a series needs 6 + 3 = 9 months for one window; with 8 there are 0 "
         "windows. Give more months, or a smaller context or horizon"),
        ({"months": 16}, "each part needs a window, but 16 months leave 0 to train, 1 to "
         "validation, 4 to test. Give more months, or a smaller context, validation or test"),
        ({"horizon": 0}, "context, horizon, validation and test must be at least 1 month, but "
         "got 0"),
    ],
)  # fmt: skip
def test_short_tables_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Protocol(**settings)
    assert str(caught.value) == message


def test_scaling_and_choice_refuse_later_months() -> None:
    protocol, values = Protocol(), generate(10, 2).table.values
    with pytest.raises(InputError) as caught:
        protocol.scaler(values)
    assert str(caught.value) == (
        "scaling may see months 0 to 26 only, and got 36 months: leakage. Pass values[:, :27]"
    )
    with pytest.raises(InputError, match="choice may see months 0 to 29 only, and got 36 months"):
        selector.select(values, {}, protocol)
    with pytest.raises(InputError, match="a choice needs a candidate"):
        selector.select(values[:, :30], {}, protocol)


def test_a_constant_series_has_the_deviation_one() -> None:
    values = np.array([[0.1] * 5, [1.0, 2, 3, 4, 5]])
    scaler = Scaler.of(values)
    assert scaler.sd.ravel().tolist() == [1, 2**0.5]  # population
    assert scaler.back(scaler.scale(values)) == pytest.approx(values)


@pytest.mark.parametrize("name", tasks.KERNELS)
def test_kernels_fall_with_age(name: str) -> None:
    weights = tasks.kernel(name, 27)
    assert len(weights) == 27 and weights.min() >= 0 and weights.max() <= 1
    if name != "rayleigh":
        assert (np.diff(weights) > 0).all() and weights[-1] == 1


def test_kernels_at_the_middle() -> None:
    middle = {name: tasks.kernel(name, 3)[1] for name in tasks.KERNELS}
    assert middle == pytest.approx({
        "bartlett": 0.5, "parzen": 0.25, "tukey-hanning": 0.5, "exponential": np.exp(-5 / 3),
        "rayleigh": 1.0,
    })  # fmt: skip
    assert tasks.kernel("rayleigh", 3)[2] == pytest.approx(2 * np.exp(-2) / np.exp(-0.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brake", "unknown task 'brake'. Did you mean 'break'?"),
        ("break:parsen", "unknown kernel 'parsen'. Did you mean 'parzen'?"),
        ("low:parzen", "only the task 'break' has a kernel, but got 'low:parzen'"),
    ],
)
def test_unknown_tasks_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        tasks.Task.parse(text)
    assert str(caught.value).startswith(message)
    assert tasks.Task.parse("break") == tasks.Task("break", "bartlett")


def test_the_rare_have_one_month_at_most() -> None:
    values = np.zeros((3, 36))
    values[1, 4], values[2, [4, 5]] = 9, 1
    assert subsets.low_frequency(values).tolist() == [True, True, False]
    found = subsets.subsets(values, broken=np.array([True, False, False]))
    assert {name: mask.sum() for name, mask in found.items()} == {
        "all": 3, "low-frequency": 2, "structural-break": 1, "non-break": 2
    }  # fmt: skip


def test_published_lists_are_positions_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    file.write_text("[0, 2]")
    assert subsets.read_index(file, 3).tolist() == [True, False, True]
    for text in ("[3]", "[true]", '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(DataError, match="a list of series holds positions from 0 to 2"):
            subsets.read_index(file, 3)


def test_a_drawn_table_is_as_described() -> None:
    drawn = generate(200, 5, seed=3)
    by_skill = drawn.table.values.reshape(200, 5, -1).sum(1)
    assert (
        drawn.rare.sum() == 20
        and drawn.broken.sum() == 80
        and not (drawn.rare & drawn.broken).any()
    )
    assert subsets.low_frequency(by_skill)[drawn.rare].all()
    january = by_skill[~drawn.rare][:, 12::12].sum() / by_skill[~drawn.rare][:, 13::12].sum()
    assert january < 0.9
    assert (generate(200, 5, seed=3).table.values == drawn.table.values).all()
    with pytest.raises(InputError, match="a drawn table needs a skill, a group and 12 months"):
        generate(0)
