"""The geometric schedule: its densities step by step, its mean in closed form, its refusals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.core.pruning_schedule import PruningSchedule


@given(
    st.floats(0, 0.99), st.integers(0, 50), st.integers(1, 12), st.integers(1, 9),
    st.integers(1, 60),
)  # fmt: skip
def test_the_mean_is_that_of_all_steps(
    sparsity: float, start: int, spans: int, every: int, after: int
) -> None:
    end = start + spans * every
    found = PruningSchedule(sparsity, start, end, end + after, every)
    densities = [found.density(step) for step in range(found.total)]
    assert found.average_density == pytest.approx(math.fsum(densities) / found.total, rel=1e-12)
    assert found.compute == pytest.approx(math.fsum(densities), rel=1e-12)
    assert densities == sorted(densities, reverse=True)
    assert densities[:start] == [1.0] * start
    assert densities[end:] == pytest.approx([1 - sparsity] * after, rel=1e-12)
    first, last = found.compute_shares
    assert last == pytest.approx(math.fsum(densities[:end]) / found.compute, rel=1e-12)
    assert first == pytest.approx(start / found.compute, rel=1e-12)


def test_each_pruning_removes_the_same_share_of_what_is_left() -> None:
    found = PruningSchedule(0.8, 10, 50, 60, 10)
    kept = [found.density(10 + 10 * j) for j in range(found.prunings)]
    assert kept == pytest.approx([(1 - found.removed) ** (j + 1) for j in range(5)])
    assert kept[-1] == pytest.approx(0.2)
    assert found.density(9) == 1.0 and found.density(19) == kept[0] and found.density(20) == kept[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((80, 0, 100, 200), "at least 0 and below 1, but got 80. Is it 0.8?"),
        ((1.0, 0, 100, 200), "below 1, but got 1.0. Give 0.5, say"),
        ((-0.1, 0, 100, 200), "at least 0 and below 1, but got -0.1"),
        ((0.5, -1, 99, 200), "the first pruning must be at step 0 or later, but got -1"),
        ((0.5, 300, 300, 900), "must come after the first, at step 300, but got 300. The earliest "
                               "is step 400"),
        ((0.5, 300, 845, 900), "from step 300 the last pruning must be a multiple of 100 steps "
                               "away, but got 845. Nearest: 800 or 900"),
        ((0.5, 300, 320, 900), "but got 320. Nearest: 400"),
        ((0.5, 300, 800, 800), "the training must go on after the last pruning, at step 800, but "
                               "got 800. The shortest has 801 steps"),
        ((0.5, 300, 800, 900, 0), "prunings must be at least 1 step apart, but got 0"),
    ],
)  # fmt: skip
def test_what_is_refused(arguments: tuple[float, ...], text: str) -> None:
    with pytest.raises(InputError) as error:
        PruningSchedule(*arguments)
    assert text in str(error.value)
