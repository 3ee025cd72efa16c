"""The cell's closed forms, in numpy, torch and jax."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from parsimony.core.errors import InputError
from parsimony.estimate.battery.cell import ANODE, CATHODE, HORIZON, Box, Cell

CELL = Cell()
FULL = Cell(kinetics="full")


def test_fluxes_and_mean_concentrations() -> None:
    assert pytest.approx(1.5614586780e-8, rel=1e-10) == CELL.j_a
    assert pytest.approx(-8.3874929050e-9, rel=1e-10) == CELL.j_c
    assert ANODE.mean(CELL.j_a, HORIZON) == pytest.approx(11.972530885, abs=1e-9)
    assert CATHODE.mean(CELL.j_c, HORIZON) == pytest.approx(38.215859037, abs=1e-9)
    surface = ANODE.mean(CELL.j_a, HORIZON) - CELL.j_a * ANODE.radius / (5 * 3e-14)
    assert surface == pytest.approx(11.5561, abs=5e-5)


def test_properties_at_the_start() -> None:
    assert CELL.U_a(ANODE.c_0) == pytest.approx(0.0847788699, abs=5e-11)
    assert CELL.U_c(CATHODE.c_0) == pytest.approx(4.1874305624, abs=5e-11)
    assert CELL.i0_a(ANODE.c_0, 1.0) == pytest.approx(6.4604556733, abs=5e-11)
    assert CELL.i0_c(CATHODE.c_0) == pytest.approx(4.7992504389, abs=5e-11)
    assert CELL.D_c(CATHODE.c_0, 1.0) == pytest.approx(4.617185939e-15, rel=2e-10)
    assert CELL.D_a(ANODE.c_0) == 3e-14


def test_properties_elsewhere() -> None:
    assert CELL.U_a(0.5 * ANODE.c_max) == pytest.approx(0.113130, abs=5e-7)
    assert CELL.U_c(0.6 * CATHODE.c_max) == pytest.approx(3.836280, abs=5e-7)
    assert CELL.D_c(0.7 * CATHODE.c_max, 1.0) == pytest.approx(2.91835e-15, rel=2e-6)


@pytest.mark.parametrize(("k1", "value"), [(0.5, -0.096963), (2.0, -0.087825), (4.0, -0.086302)])
def test_electrolyte_potential_at_the_start(k1: float, value: float) -> None:
    assert CELL.start(k1)[0] == pytest.approx(value, abs=5e-7)


def test_voltage_at_the_start_follows_the_kinetics() -> None:
    assert CELL.start(0.5)[1] == pytest.approx(4.08606, abs=5e-6)
    assert FULL.start(0.5)[1] == pytest.approx(4.08618, abs=5e-6)
    assert CELL.start(4.0)[1] == pytest.approx(4.09672, abs=5e-6)


def test_simple_set() -> None:
    simple = Cell("simple")
    assert simple.U_a(0.5 * ANODE.c_max) == pytest.approx(0.1)
    assert simple.U_c(0.5 * CATHODE.c_max) == pytest.approx(4.3)
    assert simple.i0_a(3.0, 2.0) == 4
    assert simple.i0_c(3.0) == 3
    assert simple.D_a(3.0) == 3e-14
    assert simple.D_c(3.0, 2.0) == 7e-15


@pytest.mark.parametrize("cell", [CELL, FULL])
def test_overpotential_inverts_the_flux(cell: Cell) -> None:
    i0 = np.array([0.1, 1.0, 6.0])
    assert cell.flux(cell.overpotential(cell.j_a, i0), i0) == pytest.approx(cell.j_a, rel=1e-12)


@pytest.mark.parametrize("cell", [CELL, FULL, Cell("simple")])
def test_numpy_torch_and_jax_agree(cell: Cell) -> None:
    jax = pytest.importorskip("jax")
    random = np.random.default_rng(0)
    c_a, c_c = random.uniform(9, 28, 20), random.uniform(19, 40, 20)
    k1, k2 = random.uniform(0.5, 4, 20), random.uniform(1, 10, 20)

    def all_of(c_a, c_c, k1, k2):  # type: ignore[no-untyped-def]
        return (
            cell.voltage(c_a, c_c, k1), cell.D_c(c_c, k2), cell.D_a(c_a), *cell.start(k1),
            cell.flux(-cell.electrolyte_potential(c_a, k1), cell.i0_a(c_a, k1)),
        )  # fmt: skip

    want = all_of(c_a, c_c, k1, k2)
    with jax.enable_x64(True):
        from_jax = all_of(*(jax.numpy.asarray(a) for a in (c_a, c_c, k1, k2)))
    from_torch = all_of(*(torch.tensor(a) for a in (c_a, c_c, k1, k2)))
    for a, b, c in zip(want, from_jax, from_torch, strict=True):
        assert np.asarray(b) == pytest.approx(a, rel=1e-11)
        assert c.numpy() == pytest.approx(a, rel=1e-11)
        assert a.shape == (20,)


@pytest.mark.parametrize("cell", [CELL, Cell("simple")])
def test_slopes_of_the_diffusivities(cell: Cell) -> None:
    c = torch.linspace(15, 45, 9, dtype=torch.float64, requires_grad=True)
    (want,) = torch.autograd.grad(cell.D_c(c, 2.0).sum(), c)
    assert torch.allclose(cell.D_c_slope(c, 2.0), want, rtol=1e-8, atol=0)
    c = (c / 2).detach().requires_grad_()
    (want,) = torch.autograd.grad(cell.D_a(c).sum(), c)
    assert torch.equal(cell.D_a_slope(c), want)


def test_concentrations_are_clipped() -> None:
    assert CELL.U_a(-1.0) == CELL.U_a(0.0)
    assert CELL.U_c(60.0) == CELL.U_c(CATHODE.c_max)


def test_shrinking_the_box_ends_at_the_reference() -> None:
    assert Box().shrunk(1) == Box()
    assert Box().shrunk(0) == Box((0.5, 0.5), (1.0, 1.0))
    assert Box().shrunk(0.5) == Box((0.5, 2.25), (1.0, 5.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": 4.0}, "radius must be in metres, 1e-9 to 1e-2, but got 4.0. That looks like "
         "microns: give 4e-06"),
        ({"thickness": 44}, "thickness must be in metres, 1e-9 to 1e-2, but got 44. That looks "
         "like microns: give 4.4e-05"),
        ({"c_max": 30530.0}, "c_max must be in kmol/m3, 0.1 to 200, but got 30530.0. That looks "
         "like mol/m3: give 30.53"),
        ({"c_0": 27782.3}, "c_0 must be in kmol/m3, between 0 and c_max = 30.53, but got 27782.3. "
         "That looks like mol/m3: give 27.7823"),
        ({"solid": 54.3}, "solid must be a fraction between 0 and 1, but got 54.3"),
    ],
)  # fmt: skip
def test_other_units_are_told_by_magnitude(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        dataclasses.replace(ANODE, **change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"properties": "ful"}, "unknown property set, but got 'ful'. Did you mean 'full'? Known: "
         "full, simple"),
        ({"kinetics": "sinh"}, "unknown kinetics, but got 'sinh'. Known: full, linear"),
        ({"current": 0.0}, "the current must be finite and not zero, in A, but got 0.0"),
        ({"electrolyte": 1200.0}, "electrolyte must be in kmol/m3, 0.01 to 50, but got 1200.0. "
         "That looks like mol/m3: give 1.2"),
        ({"temperature": 30.0}, "temperature must be in K, 200 to 400, but got 30.0. That looks "
         "like degrees Celsius: give 303.15"),
        ({"area": -1.0}, "area must be positive, in m2, but got -1.0"),
    ],
)  # fmt: skip
def test_a_cell_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        Cell(**change)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_a_box_refuses() -> None:
    with pytest.raises(InputError) as error:
        Box().check([[1.0, 2.0], [5.0, 2.0]])
    assert str(error.value) == (
        "parameters must lie in the box k1 in [0.5, 4], k2 in [1, 10]; row 2 does not, but got "
        "(5.0, 2.0). Choose values inside, or train a surrogate on a larger box"
    )
    with pytest.raises(InputError, match=r"shape \(n, 2\): k1, k2, but got \(1, 3\)"):
        Box().check([1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="0 < least <= greatest for k2"):
        Box(k2=(3.0, 2.0))
    with pytest.raises(InputError, match="share of the box must be between 0 and 1"):
        Box().shrunk(2)
