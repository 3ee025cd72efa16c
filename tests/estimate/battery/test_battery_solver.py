"""The solver: the sheet's voltages, mass, PyBaMM, and an error that falls with cells and steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as cases
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.estimate.battery.cell import ANODE, CATHODE, HORIZON, Cell
from parsimony.estimate.battery.solver import CELL, solve

TIMES = np.linspace(0, HORIZON, 11)
# Measured with 400 cells and with PyBaMM 26.10, which agree within 0.001 mV.
VOLTAGES = {
    (0.5, 1, "linear"): "4.08606 3.98440 3.91236 3.84365 3.78293 3.73320 3.69316 3.65862 3.62634 "
    "3.59631 3.57013",
    (0.5, 1, "full"): "4.08618 3.98446 3.91240 3.84370 3.78297 3.73324 3.69321 3.65867 3.62640 "
    "3.59638 3.57020",
    (2, 2, "linear"): "4.09520 4.00425 3.93112 3.86082 3.79823 3.74658 3.70474 3.66868 3.63564 "
    "3.60631 3.58218",
    (4, 10, "linear"): "4.09672 4.01586 3.94217 3.87091 3.80707 3.75408 3.71094 3.67374 3.63998 "
    "3.61089 3.58814",
}


@pytest.mark.parametrize("case", VOLTAGES)
def test_the_voltages_are_the_published_ones(case: tuple[float, float, str]) -> None:
    k1, k2, kinetics = case
    found = solve(np.array([k1, k2]), TIMES, Cell(kinetics=kinetics)).voltage[0]
    assert np.abs(found - np.array(VOLTAGES[case].split(), float)).max() < 5e-5


def test_the_surfaces_end_where_they_were_measured() -> None:
    found = solve(np.array([[0.5, 1.0], [0.5, 2.0]]), np.array([HORIZON]))
    assert found.surface_a[-1] == pytest.approx(11.5561, abs=5e-4)
    assert found.surface_c[:, -1] == pytest.approx([39.5385, 38.8854], abs=5e-4)


def test_the_anode_ends_in_its_steady_shape() -> None:
    """With constant D the profile settles to mean + j (3/10 - (r/R)^2 / 2) R / D."""
    share = np.linspace(0, 1, 9)
    found = solve(np.array([1.0, 1.0]), np.array([HORIZON]), radii=share).inside_a[0]
    mean = ANODE.mean(CELL.j_a, HORIZON)
    steady = mean + CELL.j_a * ANODE.radius / 3e-14 * (0.3 - share**2 / 2)
    assert found == pytest.approx(steady, abs=2e-3)


@cases(max_examples=10)
@given(st.floats(1, 10), st.floats(50, HORIZON))
def test_nothing_is_lost(k2: float, time: float) -> None:
    """The mean over the sphere, by quadrature of the profile, is c_0 - 3 j t / R."""
    share, weights = np.polynomial.legendre.leggauss(12)
    share, weights = (share + 1) / 2, weights / 2
    found = solve(np.array([1.0, k2]), np.array([time]), radii=share)
    for inside, of, flux in (
        (found.inside_a[0], ANODE, CELL.j_a), (found.inside_c[0, 0], CATHODE, CELL.j_c),
    ):  # fmt: skip
        mean = (inside * weights * 3 * share**2).sum()
        assert mean == pytest.approx(of.mean(flux, time), abs=2e-3)


def test_the_error_falls_with_the_square_of_the_cells() -> None:
    times, k = np.linspace(100, HORIZON, 60), np.array([[0.5, 1.0], [4.0, 10.0]])
    exact = solve(k, times, cells=240, steps=160).voltage
    errors = [
        np.abs(solve(k, times, cells=cells, steps=160).voltage - exact).max()
        for cells in (10, 20, 40)
    ]
    assert errors[0] / errors[1] > 3 and errors[1] / errors[2] > 3


def test_the_error_falls_fast_with_the_steps() -> None:
    times, k = np.linspace(100, HORIZON, 60), np.array([0.5, 1.0])
    exact = solve(k, times, steps=400).voltage
    errors = [np.abs(solve(k, times, steps=n).voltage - exact).max() for n in (30, 60, 120)]
    assert errors[0] / errors[1] > 4 and errors[1] / errors[2] > 4


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    k = np.stack([np.linspace(0.5, 4, 600), np.linspace(1, 10, 600)], axis=1)
    together = solve(k, TIMES).voltage
    assert together.shape == (600, 11)
    for row in (0, 511, 512, 599):
        assert np.array_equal(together[row], solve(k[row], TIMES).voltage[0])


def test_times_are_answered_in_any_order() -> None:
    k = np.array([2.0, 2.0])
    assert np.allclose(solve(k, TIMES[::-1]).voltage[:, ::-1], solve(k, TIMES).voltage, atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "times", "more", "says"),
    [
        ([[1.0, -2.0]], [1.0], {}, r"positive k1, k2, but got \[\[1.0, -2.0\]\]"),
        ([1.0, 2.0, 3.0], [1.0], {}, "shape \\(n, 2\\)"),
        ([1.0, 2.0], [-1.0], {}, "times must be seconds from 0 on"),
        ([1.0, 2.0], [1.0], {"radii": np.array([1.5])}, "shares of R_s in \\[0, 1\\]"),
        ([1.0, 2.0], [1.0], {"cells": 2}, "3 cells and 4 steps or more, but got \\(2, 72\\)"),
        (
            [1.0, 2.0], [2500.0], {},
            r"before the anode is used up at 2372 s, but got 2500\.0\. A discharge at 2C",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_solved_is_said(
    parameters: list[float], times: list[float], more: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        solve(np.array(parameters), np.array(times), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kinetics", ["linear", "full"])
def test_pybamm_agrees(kinetics: str) -> None:
    pytest.importorskip("pybamm")
    from parsimony.estimate.battery.pybamm_reference import Reference

    cell = Cell(kinetics=kinetics)
    k = np.array([[0.5, 1.0], [2.0, 2.0], [4.0, 10.0]])
    times = np.linspace(10, HORIZON, 40)
    gap = Reference(cell).voltage(k, times) - solve(k, times, cell).voltage
    assert np.abs(gap).max() < 5e-5


def test_without_pybamm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from parsimony.estimate.battery.pybamm_reference import Reference

    monkeypatch.setitem(__import__("sys").modules, "pybamm", None)
    with pytest.raises(InputError, match=r"pip install 'parsimony-ml\[peers\]'"):
        Reference()
