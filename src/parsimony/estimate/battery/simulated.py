"""States that the reference solver gives: to learn from, and to measure errors on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from parsimony.core.errors import InputError
from parsimony.estimate.battery.cell import Box, Cell
from parsimony.estimate.battery.losses import Data
from parsimony.estimate.battery.solver import solve
from parsimony.estimate.battery.surrogate import Surrogate

_TIMES = 64  # of a curve that is learnt from


def parameters(box: Box, curves: int) -> np.ndarray:
    """(curves, 2) parameters on a square grid, even in the logarithms and with the box's ends.

    Args:
        box: of k1 and k2.
        curves: a square number, 1 or more; 1 is the lower corner.

    Raises:
        InputError: no square number.
    """
    side = round(np.sqrt(max(curves, 0)))
    if curves < 1 or side * side != curves:
        raise InputError("the number of curves must be a square: 1, 4, 9, 16", got=curves)
    axes = [np.geomspace(low, high, side) for low, high in (box.k1, box.k2)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def data(cell: Cell, box: Box, horizon: float, curves: int = 9, seed: int = 0) -> Data:
    """States of simulated curves.

    The times are denser early, where the states bend; half of the concentrations are at the
    surface, the others anywhere in the sphere.

    Args:
        cell: with the physics.
        box: of k1 and k2.
        horizon: last second.
        curves: a square number.
        seed: of times and radii.
    """
    random = np.random.default_rng(seed)
    k = parameters(box, curves)
    times = np.sort(horizon * random.uniform(0, 1, _TIMES) ** 2)
    shares = np.where(np.arange(_TIMES) % 2, random.uniform(0, 1, _TIMES), 1.0)
    found = solve(k, times, cell, radii=shares)
    at = np.arange(_TIMES)
    columns = (
        np.tile(times, curves), np.repeat(k, _TIMES, axis=0), np.tile(shares, curves),
        found.phi_e, found.voltage, np.tile(found.inside_a[at, at], curves),
        found.inside_c[:, at, at],
    )  # fmt: skip
    return Data(*(torch.from_numpy(np.ascontiguousarray(c.reshape(len(k) * _TIMES, -1)))
                  for c in columns))  # fmt: skip


@dataclass(frozen=True)
class Errors:
    """Absolute errors of the voltage, mV.

    Attributes:
        mean: over all times of all curves.
        greatest: of any time and curve.
        curve: (n,) mean over the times, by curve.
    """

    mean: float
    greatest: float
    curve: np.ndarray


UNSEEN = 64
"""Curves that errors are measured on."""


def errors(surrogate: Surrogate, curves: int | None = None, seed: int = 1) -> Errors:
    """Errors against the solver on curves at parameters drawn uniformly from the box.

    Args:
        surrogate: under test.
        curves: how many, by default ``UNSEEN``; a box of one point is tested there alone.
        seed: of the draw.
    """
    box, times = surrogate.box, np.linspace(0, surrogate.horizon, 136)
    k = np.random.default_rng(seed).uniform(box.low, box.high, (curves or UNSEEN, 2))
    k = np.unique(k, axis=0)
    truth = solve(k, times, surrogate.cell).voltage
    away = 1000 * np.abs(surrogate.voltage(k, times) - truth)
    return Errors(float(away.mean()), float(away.max()), away.mean(axis=1))
