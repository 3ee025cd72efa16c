"""Hard initial conditions, what the surrogate refuses, files, and which levels chain."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from parsimony.core.errors import ArtifactError, InputError
from parsimony.estimate.battery import network
from parsimony.estimate.battery.cell import Box, Cell
from parsimony.estimate.battery.surrogate import Surrogate

CELL = Cell()
POINT = Box().shrunk(0)


def untrained(
    cell: Cell = CELL, box: Box | None = None, seed: int = 0, **more: object
) -> Surrogate:
    weights = {n: w.numpy() for n, w in network.initial("merged", seed).items()}
    return Surrogate(cell, box or Box(), "merged", weights, **more)  # type: ignore[arg-type]


TWO = untrained(low=untrained(Cell("simple"), seed=1))
LATER = untrained(start=500.0, low=untrained(seed=1, horizon=500.0))
K = np.array([[0.5, 1.0], [2.0, 3.0], [4.0, 10.0]])


@pytest.mark.parametrize("level", [untrained(), TWO, LATER], ids=["one", "two", "in time"])
@pytest.mark.parametrize("kinetics", ["linear", "full"])
def test_the_initial_state_is_exact(level: Surrogate, kinetics: str) -> None:
    cell = Cell(kinetics=kinetics)
    low = level.low
    if level.start and low is not None:
        low = dataclasses.replace(low, cell=cell)
    level = dataclasses.replace(level, cell=cell, low=low)
    found = level.states(K, [0.0], [0.0, 0.4, 1.0])
    phi_e, voltage = cell.start(K[:, :1])
    assert found["phi_e"] == pytest.approx(phi_e, abs=1e-14)
    assert found["V"] == pytest.approx(voltage, abs=1e-14)
    assert found["c_a"] == pytest.approx(np.full((3, 1, 3), cell.anode.c_0), abs=1e-12)
    assert found["c_c"] == pytest.approx(np.full((3, 1, 3), cell.cathode.c_0), abs=1e-12)


def test_a_level_in_time_goes_on_where_the_lower_stops() -> None:
    low = LATER.low
    assert low is not None
    times = [0.0, 10.0, 300.0, 500.0]
    assert LATER.voltage(K, times) == pytest.approx(low.voltage(K, times), abs=1e-13)
    assert np.abs(LATER.voltage(K, [600.0]) - low.voltage(K, [500.0])).max() > 1e-3


def test_a_lower_level_at_one_point_is_called_there() -> None:
    low = untrained(box=POINT, seed=1)
    level = untrained(low=low)
    t, k = torch.full((3, 1), 700.0, dtype=torch.float64), torch.from_numpy(K)
    seen = level.torched().site("V", t, k).low
    assert seen.numpy()[:, 0] == pytest.approx(np.full(3, low.voltage([0.5, 1.0], [700.0])[0, 0]))


@pytest.mark.parametrize("level", [untrained(), TWO, LATER], ids=["one", "two", "in time"])
def test_jets_of_a_state_carry_its_derivatives(level: Surrogate) -> None:
    level = level.torched()
    t = torch.tensor([[0.3], [200.0], [900.0]], dtype=torch.float64)
    r = torch.tensor([[1e-7], [1e-6], [1.7e-6]], dtype=torch.float64)
    k = torch.from_numpy(K)
    jet = level.at(level.site("c_c", t, k, r, 4))
    t, r = t.requires_grad_(), r.requires_grad_()
    value = level.at(level.site("c_c", t, k, r))
    by_t, by_r = torch.autograd.grad(value.sum(), (t, r), create_graph=True)
    (by_rr,) = torch.autograd.grad(by_r.sum(), r)
    for found, want in ((jet.t, by_t), (jet.r, by_r), (jet.rr, by_rr)):
        assert torch.allclose(found, want, rtol=1e-10, atol=0)


def test_curve_is_the_voltage_in_numpy_and_jax_with_its_gradient() -> None:
    jax = pytest.importorskip("jax")
    times = np.linspace(10, 1350, 7)
    want = TWO.voltage([2.0, 3.0], times)[0]
    assert TWO.curve(np.array([2.0, 3.0]), times) == pytest.approx(want, abs=1e-13)
    with jax.enable_x64(True):
        curve = jax.jit(lambda k: TWO.curve(k, times))
        k = jax.numpy.array([2.0, 3.0])
        assert np.asarray(curve(k)) == pytest.approx(want, abs=1e-12)
        slopes = np.asarray(jax.jacfwd(curve)(k))
    step = 1e-6
    ends = TWO.voltage([[2 + step, 3], [2 - step, 3], [2, 3 + step], [2, 3 - step]], times)
    assert slopes[:, 0] == pytest.approx((ends[0] - ends[1]) / 2 / step, rel=1e-6, abs=1e-9)
    assert slopes[:, 1] == pytest.approx((ends[2] - ends[3]) / 2 / step, rel=1e-6, abs=1e-9)


def test_many_curves_in_one_call_equal_one_by_one() -> None:
    level, times = untrained(), np.linspace(0, 1350, 100)
    k = np.random.default_rng(0).uniform(Box().low, Box().high, (60, 2))
    together = level.voltage(k, times)
    assert together.shape == (60, 100)
    assert together[41] == pytest.approx(level.voltage(k[41], times)[0], abs=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.voltage([5.0, 2.0], [1.0]),
         "parameters must lie in the box k1 in [0.5, 4], k2 in [1, 10]; row 1 does not, but got "
         "(5.0, 2.0). Choose values inside, or train a surrogate on a larger box"),
        (lambda s: s.voltage([1.0, 2.0], [0.0, 1400.0]),
         "times must lie in [0, 1350] s, but got 1400.0. The surrogate was trained to that "
         "horizon, on the box k1 in [0.5, 4], k2 in [1, 10]"),
        (lambda s: s.voltage([1.0, 2.0], [float("nan")]),
         "times must lie in [0, 1350] s, but got nan. The surrogate was trained to that "
         "horizon, on the box k1 in [0.5, 4], k2 in [1, 10]"),
        (lambda s: s.voltage([1.0, 2.0], [1.0], current=-0.0189),
         "this surrogate is for one current, -0.0378 A, but got -0.0189. Train one at that "
         "current; this one's box is k1 in [0.5, 4], k2 in [1, 10]"),
        (lambda s: s.states([1.0, 2.0], [1.0], [1.5]),
         "radii must be shares of R_s in [0, 1], but got [1.5]"),
    ],
)  # fmt: skip
def test_it_refuses_what_it_was_not_trained_for(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as error:
        call(untrained())
    assert str(error.value) == message


@pytest.mark.parametrize("level", [TWO, LATER], ids=["two", "in time"])
def test_saving_keeps_every_level(level: Surrogate, tmp_path: Path) -> None:
    level.save(tmp_path / "s")
    back = Surrogate.load(tmp_path / "s")
    times = np.linspace(0, 1350, 9)
    assert (back.voltage(K, times) == level.voltage(K, times)).all()
    assert [(x.cell, x.box, x.horizon, x.start) for x in back.levels] == [
        (x.cell, x.box, x.horizon, x.start) for x in level.levels
    ]


def test_loading_refuses_what_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"folder with a surrogate\.json"):
        Surrogate.load(tmp_path / "none")
    folder = tmp_path / "s"
    TWO.save(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json must exist"):
        Surrogate.load(folder)
    TWO.save(folder)
    told = (folder / "surrogate.json").read_text()
    (folder / "surrogate.json").write_text(told.replace('"current": -0.0378', '"current": -0.01'))
    with pytest.raises(ArtifactError, match=r"'surrogate\.json' differs from its manifest"):
        Surrogate.load(folder)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: untrained(low=untrained(Cell(current=-0.0189))),
         "a level below must be of the same cell and current"),
        (lambda: untrained(Cell("simple"), low=untrained()),
         "a level below must have the properties simple, but got 'full'. Choose another level, or "
         "other physics"),
        (lambda: untrained(low=untrained(Cell(kinetics="full"))),
         "a level below must have the kinetics linear, but got 'full'. Choose another level, or "
         "other physics"),
        (lambda: untrained(low=untrained(box=Box().shrunk(0.5))),
         "the box of a level below must hold the box k1 in [0.5, 4], k2 in [1, 10] or be one "
         "point, but got 'k1 in [0.5, 2.25], k2 in [1, 5.5]'. Train that level on the larger box"),
        (lambda: untrained(start=500.0, low=untrained(box=POINT, horizon=500.0)),
         "the box of a level below must hold the box k1 in [0.5, 4], k2 in [1, 10] or be one "
         "point, but got 'k1 in [0.5, 0.5], k2 in [1, 1]'. Train that level on the larger box"),
        (lambda: untrained(start=500.0, low=untrained(Cell("simple"), horizon=500.0)),
         "a level below must have the properties full, but got 'simple'. Choose another level, or "
         "other physics"),
        (lambda: untrained(start=500.0, low=untrained(horizon=600.0)),
         "a level that starts at 500 s needs one below that ends there, but got 600.0"),
        (lambda: untrained(low=untrained(horizon=600.0)),
         "a level below must reach 1350 s, but got 600.0. Or go on in time: start=600"),
        (lambda: untrained(start=5.0),
         "a level that starts after t = 0 needs the level that ends there, but got 5.0. Give low, "
         "or start=0"),
        (lambda: untrained(horizon=0.0),
         "a level needs 0 <= start < horizon, in seconds, but got (0.0, 0.0)"),
    ],
)  # fmt: skip
def test_levels_that_do_not_chain(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as error:
        build()
    assert str(error.value).startswith(message)
