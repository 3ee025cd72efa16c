"""What the network is trained on: residuals of the equations, of conservation, and of data.

Interior points, t in (t*, horizon), r in (0, R_s), k in the box:

    (j(eta) - j) / |j|  of each electrode, at its surface;
    (dc/dt - D c'' - 2 D c' / r - D' c'^2) 1800 / c_scale  of each sphere.

Boundary points, times the diffusivity of c_0 (k2 = 1) over |j|:

    dc/dr at r = 0;   g(t) (dc/dr + j / D(c)) at r = R_s.

Conservation, at the boundary points: (mean of c over the sphere - (c_0 - 3 j t / R_s)) / c_scale,
the mean by eight Gauss points with weight 3 r^2 / R_s^3. Data: differences over the state's scale.
Each residual times its weight is squared and averaged; the means are summed, group by group.

Paper: arXiv 2312.17329, section 3.2 and its repository; the conservation residual is in the spirit
of part II (2312.17336) and is not in part I. It decides here: without it the diffusion residual of
a sphere hardly notices that lithium is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parsimony.core.errors import InputError, require
from parsimony.estimate.battery.network import Weights
from parsimony.estimate.battery.surrogate import TAU, Surrogate

GAUSS = 8
"""Points of the mean over a sphere."""
_RATE = 1800.0  # s; 3600 over the C-rate


@dataclass(frozen=True)
class Losses:
    """Weights of the residuals, which act squared, and of the groups, which act as they are.

    The defaults are ours: an error of the voltage of 1 mV, and the errors of concentration that
    would cause one, cost about 1 in every term. ``PAPER`` has the paper's.

    Args:
        conservation: weight of the conservation residual; 0 leaves it out.
        interior: group of the equations inside.
        boundary: group of the two boundaries, with conservation.
        data: group of the simulated states, where there are any.
        kinetics: of both flux residuals.
        diffusion: of both diffusion residuals.
        centre: of both residuals at r = 0.
        surface: of both residuals at r = R_s.

    Raises:
        InputError: a weight that is negative or not finite.
    """

    conservation: float = 300.0
    interior: float = 1.0
    boundary: float = 1.0
    data: float = 1e5
    kinetics: float = 10.0
    diffusion: float = 2.0
    centre: float = 1.0
    surface: float = 100.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise InputError(f"the weight {field.name} must be finite, 0 or more", got=value)


PAPER = Losses(conservation=0.0, data=1.0, kinetics=1.0, diffusion=10.0, surface=250.0)
"""The plain losses of the paper, with the weights of its repository; its data weight is 0 or 1."""


@dataclass(frozen=True)
class Points:
    """Fixed collocation points; every array is a column (n, 1) unless said.

    Attributes:
        t: seconds, inside.
        k: (n, 2) parameters, inside.
        share: r / R_s in (0, 1), inside.
        t_edge: seconds, at the boundaries.
        k_edge: (m, 2) parameters, at the boundaries.
    """

    t: Tensor
    k: Tensor
    share: Tensor
    t_edge: Tensor
    k_edge: Tensor

    @classmethod
    def draw(cls, level: Surrogate, interior: int, boundary: int, seed: int) -> Points:
        """Points of a scrambled Halton sequence in the level's time, box and radius.

        They are uniform, and leave fewer gaps than independent ones.
        """
        qmc = require("scipy.stats.qmc", "estimate")
        inside = qmc.Halton(4, rng=seed).random(interior)
        edge = qmc.Halton(3, rng=seed + 1).random(boundary)
        least = np.array([level.start, *level.box.low])
        most = np.array([level.horizon, *level.box.high])
        spread = [least + points[:, :3] * (most - least) for points in (inside, edge)]
        share = np.clip(inside[:, 3:], 1e-3, 1.0)  # 2 D c' / r has no value at the centre
        (t, k), (t_edge, k_edge) = (
            (torch.from_numpy(x[:, :1].copy()), torch.from_numpy(x[:, 1:].copy())) for x in spread
        )
        return cls(t, k, torch.from_numpy(share), t_edge, k_edge)

    def batch(self, i: int, of: int) -> Points:
        """The i-th of ``of`` equal pieces."""
        return Points(*(getattr(self, f.name).chunk(of)[i] for f in fields(self)))


@dataclass(frozen=True)
class Data:
    """Simulated states to learn from, columns (n, 1) unless said.

    Attributes:
        t: seconds.
        k: (n, 2) parameters.
        share: r / R_s of the concentrations.
        phi_e: V.
        V: V.
        c_a: kmol/m3.
        c_c: kmol/m3.
    """

    t: Tensor
    k: Tensor
    share: Tensor
    phi_e: Tensor
    V: Tensor
    c_a: Tensor
    c_c: Tensor

    def batch(self, i: int, of: int) -> Data:
        """The i-th of ``of`` pieces that are mixed alike."""
        return Data(*(getattr(self, f.name)[i::of] for f in fields(self)))


class Objective:
    """The loss of one level on fixed points, as a function of the weights.

    All that does not depend on the weights (inputs, factors g, the level below) is worked out once.

    Args:
        level: gives the formula, the cell and the level below; its weights are not read.
        losses: weights of the terms.
        points: where the equations are asked for.
        data: simulated states.
    """

    def __init__(
        self, level: Surrogate, losses: Losses, points: Points, data: Data | None = None
    ) -> None:
        self.level, self.losses, self.points = level, losses, points
        self.data = data if data is not None and losses.data else None
        cell = level.cell
        nodes, weights = np.polynomial.legendre.leggauss(GAUSS)
        shares = torch.from_numpy((nodes + 1) / 2)
        self._mean = torch.from_numpy(weights / 2) * 3 * shares**2
        p = points
        with torch.no_grad():
            self._phi_e = level.site("phi_e", p.t, p.k)
            self._V = level.site("V", p.t, p.k)
            self._late = -torch.expm1(-(p.t_edge - level.start) / TAU)
            self._spheres = [
                self._sphere(state, of, flux, shares)
                for state, of, flux in (
                    ("c_a", cell.anode, cell.j_a),
                    ("c_c", cell.cathode, cell.j_c),
                )
            ]
            self._known = self._data_sites()

    def _sphere(self, state: str, of: Any, flux: float, shares: Tensor) -> dict[str, Any]:
        level, p = self.level, self.points
        once = torch.ones_like(p.t_edge)
        found: dict[str, Any] = {"state": state, "of": of, "flux": flux, "r": p.share * of.radius}
        found["inside"] = level.site(state, p.t, p.k, p.share * of.radius, 4)
        # Centre and surface in one call.
        edge_t, edge_k = p.t_edge.repeat(2, 1), p.k_edge.repeat(2, 1)
        found["edge"] = level.site(
            state, edge_t, edge_k, torch.cat((0 * once, once)) * of.radius, 2
        )
        # Where values are enough: the surface at the interior times, the Gauss points.
        t, k, r = [p.t], [p.k], [torch.full_like(p.t, of.radius)]
        if self.losses.conservation:
            t.append(p.t_edge.repeat_interleave(GAUSS, 0))
            k.append(p.k_edge.repeat_interleave(GAUSS, 0))
            r.append(shares.repeat(len(once))[:, None] * of.radius)
        found["values"] = level.site(state, torch.cat(t), torch.cat(k), torch.cat(r))
        found["mean"] = of.mean(flux, p.t_edge)
        return found

    def _data_sites(self) -> list[tuple[Any, Tensor]]:
        d, level = self.data, self.level
        if d is None:
            return []
        radius = {"c_a": level.cell.anode.radius, "c_c": level.cell.cathode.radius}
        return [
            (level.site(s, d.t, d.k, d.share * radius[s] if s in radius else None), getattr(d, s))
            for s in ("phi_e", "V", "c_a", "c_c")
        ]

    def residuals(self, weights: Weights) -> dict[str, tuple[str, Tensor]]:
        """Weighted residuals with their group, by name.

        Args:
            weights: of the level's network, torch.
        """
        level, cell, losses, p = self.level, self.level.cell, self.losses, self.points
        found: dict[str, tuple[str, Tensor]] = {}
        n, m = len(p.t), len(p.t_edge)
        surface: dict[str, Tensor] = {}
        for sphere in self._spheres:
            state, of, flux = sphere["state"], sphere["of"], sphere["flux"]
            side = "anode" if state == "c_a" else "cathode"
            values = level.at(sphere["values"], weights)
            surface[state] = values[:n]
            c = level.at(sphere["inside"], weights)
            d, d_c = (
                (cell.D_a(c.value), cell.D_a_slope(c.value))
                if state == "c_a"
                else (cell.D_c(c.value, p.k[:, 1:]), cell.D_c_slope(c.value, p.k[:, 1:]))
            )
            change = c.t - d * c.rr - (2 * d / sphere["r"] + d_c * c.r) * c.r
            scale = level.scale(state)
            inside = losses.diffusion * _RATE / scale * change
            found[f"{side} diffusion"] = ("interior", inside)

            k2 = p.k_edge[:, 1:]
            at_start = float(cell.D_a(of.c_0) if state == "c_a" else cell.D_c(of.c_0, 1.0))
            edge = level.at(sphere["edge"], weights)
            unit = at_start / abs(flux)
            centre = edge.r[:m] if state == "c_a" else edge.r[:m] * k2
            found[f"{side} centre"] = ("boundary", losses.centre * unit * centre)
            there = edge.value[m:]
            d = cell.D_a(there) if state == "c_a" else cell.D_c(there, k2)
            slope = self._late * (edge.r[m:] + flux / d)
            found[f"{side} surface"] = ("boundary", losses.surface * unit * slope)
            if losses.conservation:
                mean = values[n:].view(m, GAUSS) @ self._mean
                lost = (mean[:, None] - sphere["mean"]) / scale
                found[f"{side} conservation"] = ("boundary", losses.conservation * lost)
        phi_e, voltage = level.at(self._phi_e, weights), level.at(self._V, weights)
        eta_a = -phi_e - cell.U_a(surface["c_a"])
        eta_c = voltage - phi_e - cell.U_c(surface["c_c"])
        j_a = cell.flux(eta_a, cell.i0_a(surface["c_a"], p.k[:, :1]))
        j_c = cell.flux(eta_c, cell.i0_c(surface["c_c"]))
        for side, j, flux in (("anode", j_a, cell.j_a), ("cathode", j_c, cell.j_c)):
            found[f"{side} kinetics"] = ("interior", losses.kinetics * (j - flux) / abs(flux))
        for site, known in self._known:
            away = (level.at(site, weights) - known) / level.scale(site.state)
            found[f"{site.state} data"] = ("data", away)
        return found

    def loss(self, weights: Weights) -> Tensor:
        """The sum of the mean squares, a number.

        Args:
            weights: of the level's network, torch.

        Raises:
            InputError: a term that is not finite, by name.
        """
        means = {
            name: getattr(self.losses, group) * residual.square().mean()
            for name, (group, residual) in self.residuals(weights).items()
        }
        total = torch.stack(list(means.values())).sum()
        if not torch.isfinite(total):
            name, value = next((n, v) for n, v in means.items() if not torch.isfinite(v))
            raise InputError(
                f"the loss must be finite; the term '{name}' is not", got=float(value),
                hint="Lower the learning rate, or train more gently: simpler physics first",
            )  # fmt: skip
        return total
