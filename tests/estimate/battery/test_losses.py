"""Residuals beside ones written with autograd, and what a loss refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from parsimony.core.errors import InputError
from parsimony.estimate.battery import network, simulated
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.losses import PAPER, Losses, Objective, Points
from parsimony.estimate.battery.surrogate import TAU, Surrogate

LEVEL = Surrogate(Cell(), Box(), "merged", network.initial("merged", 2))
POINTS = Points.draw(LEVEL, 40, 20, 0)
ONES = Losses(*[1.0] * 8)


def slopes(state: str, t: torch.Tensor, k: torch.Tensor, r: torch.Tensor) -> list[torch.Tensor]:
    """Value, d/dr, d2/dr2, d/dt by autograd."""
    t, r = t.clone().requires_grad_(), r.clone().requires_grad_()
    c = LEVEL.at(LEVEL.site(state, t, k, r))
    by_t, by_r = torch.autograd.grad(c.sum(), (t, r), create_graph=True)
    (by_rr,) = torch.autograd.grad(by_r.sum(), r)
    return [x.detach() for x in (c, by_r, by_rr, by_t)]


@pytest.mark.parametrize("side", ["anode", "cathode"])
def test_residuals_are_the_equations(side: str) -> None:
    cell, p = LEVEL.cell, POINTS
    state, of, flux = (
        ("c_a", cell.anode, cell.j_a) if side == "anode" else ("c_c", cell.cathode, cell.j_c)
    )
    found = {n: x for n, (_, x) in Objective(LEVEL, ONES, POINTS).residuals(LEVEL.weights).items()}

    def diffusivity(c: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return cell.D_a(c) if side == "anode" else cell.D_c(c, k[:, 1:])

    # r^-2 d/dr (r^2 D dc/dr) by finite differences of the flux.
    r, step = p.share * of.radius, 1e-5 * of.radius
    flows = []
    for at in (r - step, r + step):
        c, c_r, _, _ = slopes(state, p.t, p.k, at)
        flows.append(at**2 * diffusivity(c, p.k) * c_r)
    inflow = (flows[1] - flows[0]) / (2 * step * r**2)
    scale = cell.anode.c_0 if side == "anode" else cell.cathode.c_max - cell.cathode.c_0
    want = (slopes(state, p.t, p.k, r)[3] - inflow) * 1800 / scale
    assert torch.allclose(found[f"{side} diffusion"], want, rtol=1e-4, atol=1e-6)

    unit = float(cell.D_a(of.c_0) if side == "anode" else cell.D_c(of.c_0, 1.0)) / abs(flux)
    full = torch.full_like(p.t_edge, of.radius)
    centre = slopes(state, p.t_edge, p.k_edge, 0 * full)[1] * unit
    centre = centre if side == "anode" else centre * p.k_edge[:, 1:]
    assert torch.allclose(found[f"{side} centre"], centre)
    c, c_r, _, _ = slopes(state, p.t_edge, p.k_edge, full)
    rest = c_r + flux / diffusivity(c, p.k_edge)
    late = 1 - torch.exp(-p.t_edge / TAU)
    assert torch.allclose(found[f"{side} surface"], late * rest * unit)

    shares = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    rows = torch.arange(len(p.t_edge)).repeat_interleave(4000)
    site = LEVEL.site(
        state, p.t_edge[rows], p.k_edge[rows], (shares.repeat(len(p.t_edge)) * of.radius)[:, None]
    )
    mean = (LEVEL.at(site).view(-1, 4000) * 3 * shares**2).mean(1, keepdim=True)
    away = (mean - of.mean(flux, p.t_edge)) / scale
    assert torch.allclose(found[f"{side} conservation"], away, atol=1e-6)

    full = torch.full_like(p.t, of.radius)
    surface = LEVEL.at(LEVEL.site(state, p.t, p.k, full))
    phi_e, voltage = (LEVEL.at(LEVEL.site(s, p.t, p.k)) for s in ("phi_e", "V"))
    if side == "anode":
        j = cell.flux(-phi_e - cell.U_a(surface), cell.i0_a(surface, p.k[:, :1]))
    else:
        j = cell.flux(voltage - phi_e - cell.U_c(surface), cell.i0_c(surface))
    assert torch.allclose(found[f"{side} kinetics"], (j - flux) / abs(flux))


def test_weights_act_squared_and_groups_as_they_are() -> None:
    weights = LEVEL.weights
    data = simulated.data(Cell(), Box(), HORIZON, 1)

    def means(losses: Losses) -> dict[str, float]:
        residuals = Objective(LEVEL, losses, POINTS, data).residuals(weights)
        return {name: float(x.square().mean()) for name, (_, x) in residuals.items()}

    plain, paper = means(ONES), means(PAPER)
    assert {n for n in plain if n not in paper} == {"anode conservation", "cathode conservation"}
    assert paper["anode diffusion"] == pytest.approx(100 * plain["anode diffusion"])
    assert paper["cathode surface"] == pytest.approx(250**2 * plain["cathode surface"])
    assert paper["V data"] == pytest.approx(plain["V data"])
    assert float(Objective(LEVEL, ONES, POINTS, data).loss(weights)) == pytest.approx(
        sum(plain.values())
    )
    doubled = dataclasses.replace(ONES, data=2.0)
    assert float(Objective(LEVEL, doubled, POINTS, data).loss(weights)) == pytest.approx(
        sum(v * (2 if "data" in n else 1) for n, v in plain.items())
    )


def test_the_level_below_is_worked_out_once_and_right() -> None:
    low = Surrogate(Cell("simple"), Box(), "merged", network.initial("merged", 5))
    zero = {n: 0 * w if ".out." in n else w for n, w in LEVEL.weights.items()}
    high = dataclasses.replace(LEVEL, low=low, weights=zero)
    p = POINTS
    site = high.site("c_c", p.t, p.k, p.share * high.cell.cathode.radius)
    # A correction of zero leaves the level below.
    assert torch.allclose(high.at(site), low.at(low.site("c_c", p.t, p.k, site.r * 4e-6)))


@pytest.mark.parametrize(("state", "name"), [("c_a", "anode diffusion"), ("V", "cathode kinetics")])
def test_a_loss_that_is_not_finite_names_its_term(state: str, name: str) -> None:
    broken = dict(LEVEL.weights)
    broken[f"{state}.out.bias"] = torch.full((1,), float("nan"), dtype=torch.float64)
    with pytest.raises(InputError) as error:
        Objective(LEVEL, Losses(), POINTS).loss(broken)
    assert str(error.value) == (
        f"the loss must be finite; the term '{name}' is not, but got nan. Lower the learning rate, "
        "or train more gently: simpler physics first"
    )


def test_weights_that_are_no_weights() -> None:
    with pytest.raises(InputError, match="the weight surface must be finite, 0 or more, but got -"):
        Losses(surface=-1.0)


def test_simulated_curves_are_the_solver_s_and_fill_the_box() -> None:
    k = simulated.parameters(Box(), 9)
    assert k[[0, -1]].tolist() == [[0.5, 1.0], [4.0, 10.0]]
    assert k[4] == pytest.approx([2**0.5, 10**0.5])
    with pytest.raises(InputError, match="must be a square: 1, 4, 9, 16, but got 8"):
        simulated.parameters(Box(), 8)
    data = simulated.data(Cell(), Box(), HORIZON, 9)
    surface = data.share == 1
    want = Cell().voltage(data.c_a[surface], data.c_c[surface], data.k[surface[:, 0], 0])
    assert data.V[surface].numpy() == pytest.approx(want.numpy(), abs=1e-5)
    pieces = [data.batch(i, 10).t for i in range(10)]
    assert sorted(torch.cat(pieces)[:, 0].tolist()) == sorted(data.t[:, 0].tolist())


def test_errors_of_a_surrogate_are_in_millivolts() -> None:
    arrays = {n: w.numpy() for n, w in LEVEL.weights.items()}
    found = simulated.errors(dataclasses.replace(LEVEL, weights=arrays), curves=3)
    assert found.curve.shape == (3,)
    assert found.mean == pytest.approx(np.mean(found.curve))
    assert 1 < found.mean < found.greatest < 5000
