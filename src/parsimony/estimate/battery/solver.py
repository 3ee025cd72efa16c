"""The reference solution: finite volumes in the two spheres, many parameter values in one call.

Each sphere is cut into shells of equal thickness; between two shells flows D(c) dc/dr at the
concentration half-way, and nothing flows at the centre, -j at the surface. Time is implicit:
backward differences of order 3 (1, then 2, in the first steps) on steps that are even in the cube
root of t, because the profile starts with an infinitely thin layer. The diffusivity of a step is
extrapolated from the steps before, so that each step is one tridiagonal system; the systems of all
parameter values are solved as one.

Model: arXiv 2312.17329, section 2; see ``cell``. The current is given, so k1 enters the kinetics
alone, k2 the cathode alone, and the anode is solved once for all. What it cannot do: a current
that changes, or a temperature.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parsimony.core.errors import InputError, require
from parsimony.estimate.battery.cell import HORIZON, Cell, Electrode

Array = np.ndarray

CELL = Cell()
"""At 2C, with the measured curves and linear kinetics."""
CELLS = 60
"""Shells of a sphere: voltages within 0.01 mV of those of 400 shells."""
STEPS = 72
"""Steps of time up to the last that is asked for."""
_TOGETHER = 512  # parameter values whose arrays stay in the processor's cache
_GRADING = 3  # t = last s^3, s even
_ORDER = 3
# sum of past (weights) + step rate f = present (share of the step); the newest of the past first.
_BACKWARD: tuple[tuple[tuple[float, ...], float], ...] = (
    ((1.0,), 1.0),
    ((4 / 3, -1 / 3), 2 / 3),
    ((18 / 11, -9 / 11, 2 / 11), 6 / 11),
)
_AHEAD: tuple[tuple[float, ...], ...] = ((1.0,), (2.0, -1.0), (3.0, -3.0, 1.0))


@dataclass(frozen=True)
class Solution:
    """States of the cell for b parameter values at n times.

    Attributes:
        parameters: (b, 2) k1 and k2.
        times: (n,) seconds.
        voltage: (b, n) V.
        phi_e: (b, n) potential of the electrolyte, V.
        surface_a: (n,) concentration at the surface of the anode's spheres, kmol/m3.
        surface_c: (b, n) of the cathode's.
        inside_a: (n, m) in the anode's at the m radii that were asked for, else (n, 0).
        inside_c: (b, n, m) in the cathode's.
    """

    parameters: Array
    times: Array
    voltage: Array
    phi_e: Array
    surface_a: Array
    surface_c: Array
    inside_a: Array
    inside_c: Array


def solve(
    parameters: Array,
    times: Array,
    cell: Cell = CELL,
    *,
    radii: Array | None = None,
    cells: int = CELLS,
    steps: int = STEPS,
) -> Solution:
    """Solve the single-particle model.

    Args:
        parameters: (b, 2) or (2,), k1 and k2, positive.
        times: (n,) seconds from the start of the discharge, none negative, in any order.
        cell: constants, properties and kinetics.
        radii: (m,) shares r / R_s in [0, 1] at which the concentrations are wanted too.
        cells: shells of a sphere, at least 3.
        steps: of time, at least 4.

    Raises:
        InputError: a parameter, a time or a radius out of range; an electrode that is empty or
            full before the last time.
    """
    k = np.atleast_2d(np.asarray(parameters, dtype=np.float64))
    t = np.asarray(times, dtype=np.float64).ravel()
    r = np.zeros(0) if radii is None else np.asarray(radii, dtype=np.float64).ravel()
    if k.ndim != 2 or k.shape[1] != 2 or not (np.isfinite(k) & (k > 0)).all():
        raise InputError("parameters must be of shape (n, 2): positive k1, k2", got=k.tolist()[:3])
    if not len(t) or not (np.isfinite(t) & (t >= 0)).all():
        raise InputError("times must be seconds from 0 on", got=t.tolist()[:3])
    if not ((r >= 0) & (r <= 1)).all():
        raise InputError("radii must be shares of R_s in [0, 1]", got=r.tolist()[:3])
    if cells < 3 or steps < 4:
        raise InputError("a solution needs 3 cells and 4 steps or more", got=(cells, steps))
    for name, of, flux in (("anode", cell.anode, cell.j_a), ("cathode", cell.cathode, cell.j_c)):
        if not 0 < of.mean(flux, t.max()) < of.c_max:
            end = (of.c_0 - (0 if flux > 0 else of.c_max)) * of.radius / 3 / flux
            raise InputError(
                f"the last time must come before the {name} is used up at {end:.0f} s",
                got=float(t.max()),
                hint=f"A discharge at 2C is asked for up to {HORIZON:g} s",
            )

    surface_a, inside_a = _anode(cell, tuple(t.tolist()), tuple(r.tolist()), cells, steps)
    parts = []
    for start in range(0, len(k), _TOGETHER):
        k2 = k[start : start + _TOGETHER, 1:]

        def cathode(c: Array, k2: Array = k2) -> Array:
            return cell.D_c(c, k2)

        parts.append(_sphere(cell.cathode, cell.j_c, cathode, len(k2), t, r, cells, steps))
    surface_c, inside_c = (np.concatenate(part) for part in zip(*parts, strict=True))
    k1 = k[:, :1]
    phi_e = cell.electrolyte_potential(surface_a, k1)
    voltage = cell.voltage(surface_a, surface_c, k1)
    if not np.isfinite(voltage).all():
        at = float(t[~np.isfinite(voltage).all(axis=0)].min())
        raise InputError("the surface of an electrode is used up before the last time", got=at)
    return Solution(k, t, voltage, phi_e, surface_a[0], surface_c, inside_a[0], inside_c)


@functools.lru_cache(maxsize=16)
def _anode(
    cell: Cell, times: tuple[float, ...], radii: tuple[float, ...], cells: int, steps: int
) -> tuple[Array, Array]:
    """The anode, which no parameter changes; read-only, since a sampler asks for it each time."""
    at, share = np.array(times), np.array(radii)
    found = _sphere(cell.anode, cell.j_a, cell.D_a, 1, at, share, cells, steps)
    for values in found:
        values.setflags(write=False)
    return found


def _sphere(
    electrode: Electrode,
    flux: float,
    diffusivity: Callable[[Array], Array],
    batch: int,
    times: Array,
    radii: Array,
    cells: int,
    steps: int,
) -> tuple[Array, Array]:
    """Concentrations (batch, n) at the surface and (batch, n, m) at the radii, kmol/m3."""
    interpolate = require("scipy.interpolate", "estimate")
    gtsv = require("scipy.linalg.lapack", "estimate").dgtsv
    radius = electrode.radius
    face = np.linspace(0, radius, cells + 1)
    volume = np.diff(face**3) / 3
    middle = 0.75 * np.diff(face**4) / np.diff(face**3)  # where a linear c is the shell's mean
    apart = np.diff(middle)
    conductance, outer = face[1:-1] ** 2 / apart, (face[1:-1] - middle[:-1]) / apart
    inflow = np.zeros(cells)
    inflow[-1] = -flux * radius**2 / volume[-1]
    last = max(float(times.max()), 1.0)
    grid = np.linspace(0, 1, steps + 1)

    past = [np.full((batch, cells), electrode.c_0)]
    surface = np.full((batch, steps + 1), electrode.c_0)
    kept = np.full((batch, steps + 1 if len(radii) else 0, cells), electrode.c_0)
    lower, upper = np.zeros((batch, cells)), np.zeros((batch, cells))
    for step in range(1, steps + 1):
        order = min(_ORDER, step)
        weights, share = _BACKWARD[order - 1]
        # dc/ds = dt/ds f(c), on even steps of s
        a = share / steps * last * _GRADING * grid[step] ** (_GRADING - 1)
        ahead = sum(w * c for w, c in zip(_AHEAD[order - 1], past, strict=True))
        flow = diffusivity(ahead[:, :-1] + (ahead[:, 1:] - ahead[:, :-1]) * outer) * conductance
        upper[:, :-1], lower[:, :-1] = flow * (-a / volume[:-1]), flow * (-a / volume[1:])
        diagonal = 1 - upper
        diagonal[:, 1:] -= lower[:, :-1]
        right = sum(w * c for w, c in zip(weights, past, strict=True)) + a * inflow
        # Nothing flows from one parameter value to the next: one system for all.
        *_, c, failed = gtsv(
            lower.ravel()[:-1], diagonal.ravel(), upper.ravel()[:-1], right.ravel()
        )
        assert failed == 0  # the matrix is diagonally dominant
        c = c.reshape(batch, cells)
        past = [c, *past[: _ORDER - 1]]
        surface[:, step] = _at_surface(c, face, middle, flux, diffusivity)
        if len(radii):
            kept[:, step] = c
    root = np.sqrt(last * grid**_GRADING)  # in the square root of t the solution is smooth
    wanted = np.sqrt(times)
    found = interpolate.CubicSpline(root, surface, axis=1)(wanted)
    if not len(radii):
        return found, np.zeros((batch, len(times), 0))
    inside = interpolate.CubicSpline(root, kept, axis=1)(wanted)
    nodes = np.append(middle, radius)
    values = np.concatenate([inside, found[..., None]], axis=2)
    return found, interpolate.CubicSpline(
        np.concatenate([-nodes[::-1], nodes]),  # even in r, which makes dc/dr = 0 at the centre
        np.concatenate([values[..., ::-1], values], axis=2),
        axis=2,
    )(radii * radius)


def _at_surface(
    c: Array, face: Array, middle: Array, flux: float, diffusivity: Callable[[Array], Array]
) -> Array:
    """(batch,) c(R): the parabola with slope -j / D there and the means of the outer two shells."""
    end, last = face[-3:], face[-1]
    square = np.diff(end**5 / 5 - last * end**4 / 2 + last**2 * end**3 / 3)
    square /= np.diff(end**3) / 3  # means of (r - R)^2
    line = middle[-2:] - last
    found = c[:, -1:]
    for _ in range(3):  # the slope depends on c(R) weakly
        slope = -flux / diffusivity(found)
        bend = (c[:, -1:] - c[:, -2:-1] - slope * (line[1] - line[0])) / (square[1] - square[0])
        found = c[:, -1:] - slope * line[1] - bend * square[1]
    return found[:, 0]
