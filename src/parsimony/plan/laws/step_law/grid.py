"""A grid of runs over learning rate and batch size: optima, a refit, what a law loses on it.

A cell is one (N, D); its runs differ in the peak rate and the tokens per step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.errors import InputError, require
from parsimony.core.fitting import Fit, Provenance, fit
from parsimony.core.fitting.columns import TABLE, positive
from parsimony.core.fitting.law import Array
from parsimony.plan.laws.step_law import StepLawBatch, StepLawRate

if TYPE_CHECKING:
    import pandas as pd

KEEP = 0.0025
"""Runs within this share of the best of their cell are those a law is fitted to."""

SOFT = 0.005
"""Of the weights exp(-(L / best - 1) / SOFT) of the quadratic surface."""

Proposal = Callable[[float, float], tuple[float, float]]
"""(N, D) -> (learning rate, tokens per step)."""


def read_grid(
    table: pd.DataFrame, sequence: int = 2048, *, snap: bool = False, file: str = TABLE
) -> pd.DataFrame:
    """The published tables as a grid.

    Args:
        table: columns N, D, lr, bs (sequences per step) and ``smooth loss`` (or loss); of mixtures
            of experts also Na, the active parameters, which tells cells apart.
        sequence: tokens of a sequence.
        snap: make a rate within 1 % of a power of sqrt(2) that power, and keep the best of runs
            that are one point then. Rates are printed with different rounding in different cells.
            The triangles of an exact grid are ambiguous, so that ``excess`` between its points
            changes a little: from 0.126 % to 0.117 % for the Step Law on the published table.
        file: name of the table, for errors.

    Returns:
        N, D, lr, B (tokens per step), loss, cell, and Na where given.

    Raises:
        DataError: a column is missing or a value not positive.
    """
    pd = require("pandas", "plan")
    loss = "smooth loss" if "smooth loss" in table.columns else "loss"
    active = ["Na"] if "Na" in table.columns else []
    x = positive(table, ["N", "D", "lr", "bs", loss, *active], file)
    rate = x["lr"]
    if snap:
        power = 2.0 ** (np.round(2 * np.log2(rate)) / 2)
        rate = np.where(np.abs(rate / power - 1) < 0.01, power, rate)
    grid = pd.DataFrame(
        {"N": x["N"], "D": x["D"], "lr": rate, "B": x["bs"] * sequence, "loss": x[loss]}
    )
    keys = ["N", "D", *active]
    for name in active:
        grid[name] = x[name]
    grid["cell"] = [
        " ".join(f"{k}={v:g}" for k, v in zip(keys, row, strict=True))
        for row in grid[keys].itertuples(index=False)
    ]
    return grid.sort_values("loss").drop_duplicates(["cell", "lr", "B"]).sort_index()


def nearly_best(grid: pd.DataFrame, share: float = KEEP) -> pd.DataFrame:
    """The runs of each cell whose loss is below (1 + share) of its least."""
    least = grid.groupby("cell")["loss"].transform("min")
    return grid[grid["loss"] < least * (1 + share)]


@dataclass(frozen=True)
class Refit:
    """A law of one's own: its rate and its batch."""

    rate: Fit
    batch: Fit

    def __call__(self, N: float, D: float) -> tuple[float, float]:
        """Learning rate and tokens per step."""
        x = {"N": np.array([N], float), "D": np.array([D], float)}
        rate, batch = (f.law.evaluate(f.theta, x)[0][0] for f in (self.rate, self.batch))
        return math.exp(rate), math.exp(batch)


def refit(
    grid: pd.DataFrame,
    *,
    by_cell: bool = True,
    bootstraps: int = 1000,
    seed: int = 0,
    provenance: Provenance | None = None,
) -> Refit:
    """Fit both laws to the runs that are nearly best, as the official tool does.

    Args:
        grid: as ``read_grid`` returns it.
        by_cell: resample cells. The official tool resamples rows; those of one cell depend on each
            other, and its intervals are too narrow.
        bootstraps: resamples.
        seed: of the resamples.
        provenance: the setting of the runs.

    Raises:
        InputError: fewer than 3 values of N or D.
    """
    kept = nearly_best(grid)
    run = "cell" if by_cell else None
    rate, batch = (
        fit(law, kept, run=run, bootstraps=bootstraps, seed=seed, provenance=provenance)
        for law in (StepLawRate(), StepLawBatch())
    )
    return Refit(rate, batch)


def excess(grid: pd.DataFrame, propose: Proposal) -> pd.DataFrame:
    """What a proposal loses in each cell: its loss over the least of the cell, minus 1.

    Between grid points the loss is linear over the Delaunay triangles in (ln lr, ln B), after the
    proposal is moved into the box of the grid.

    Returns:
        By cell: lr, B, interpolated and nearest, the excess at the nearest grid point.
    """
    pd, interpolate = require("pandas", "plan"), require("scipy.interpolate", "plan")
    rows = {}
    for cell, runs in grid.groupby("cell", sort=False):
        points, loss = np.log(runs[["lr", "B"]].to_numpy()), runs["loss"].to_numpy()
        rate, batch = propose(float(runs["N"].iloc[0]), float(runs["D"].iloc[0]))
        at = np.clip(np.log([rate, batch]), points.min(axis=0), points.max(axis=0))
        near = loss[((points - at) ** 2).sum(axis=1).argmin()]
        between = float(interpolate.LinearNDInterpolator(points, loss)(at[None])[0])
        between = near if math.isnan(between) else between  # outside the hull of a ragged grid
        rows[cell] = (rate, batch, between / loss.min() - 1, near / loss.min() - 1)
    columns = ["lr", "B", "interpolated", "nearest"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("cell")


def leave_one_out(grid: pd.DataFrame) -> pd.DataFrame:
    """``excess`` of a refit in each cell that it has not seen."""
    pd = require("pandas", "plan")
    found = []
    for cell, runs in grid.groupby("cell", sort=False):
        others = refit(grid[grid["cell"] != cell], bootstraps=2)
        found.append(excess(runs, others))
    return pd.concat(found)


@dataclass(frozen=True)
class Surface:
    """The loss of one cell near its optimum, a quadratic in u = ln lr and v = ln B.

    Attributes:
        lr: at the optimum.
        B: tokens per step at the optimum.
        loss: at the optimum.
        hessian: of the loss in (u, v), [2, 2].
        border: directions in which the best run lies on the border of the grid, such as
            ``"larger lr"``; the optimum is then not known.
    """

    lr: float
    B: float
    loss: float
    hessian: Array
    border: tuple[str, ...]

    def area(self, share: float = KEEP) -> float:
        """Area in log2 lr x log2 B of all settings within ``share`` of the least loss."""
        within = 2 * math.pi * share * self.loss / math.sqrt(np.linalg.det(self.hessian))
        return float(within / math.log(2) ** 2)

    def span(self, share: float = KEEP) -> tuple[tuple[float, float], tuple[float, float]]:
        """(least, greatest) learning rate and tokens per step of the settings within ``share``."""
        half = np.sqrt(2 * share * self.loss * np.diag(np.linalg.inv(self.hessian)))
        rate, batch = np.exp(np.outer(half, [-1, 1])) * np.array([[self.lr], [self.B]])
        return (float(rate[0]), float(rate[1])), (float(batch[0]), float(batch[1]))


def surface(runs: pd.DataFrame, soft: float = SOFT) -> Surface:
    """Fit the quadratic to one cell, each run with weight exp(-(L / best - 1) / soft).

    Raises:
        InputError: fewer than 6 runs, or a loss that is not convex there.
    """
    u, v = np.log(runs["lr"].to_numpy()), np.log(runs["B"].to_numpy())
    loss = runs["loss"].to_numpy()
    cell = runs["cell"].iloc[0]
    if len(runs) < 6:
        raise InputError(f"cell {cell}: a quadratic surface needs at least 6 runs", got=len(runs))
    best = int(loss.argmin())
    weight = np.sqrt(np.exp(-(loss / loss[best] - 1) / soft))
    x, y = u - u[best], v - v[best]
    terms = np.stack([np.ones_like(x), x, y, x * x / 2, x * y, y * y / 2], axis=1)
    c, *_ = np.linalg.lstsq(terms * weight[:, None], loss * weight, rcond=None)
    hessian = np.array([[c[3], c[4]], [c[4], c[5]]])
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        raise InputError(f"cell {cell}: the loss is not convex around its best run")
    move = -np.linalg.solve(hessian, c[1:3])
    return Surface(
        lr=float(np.exp(u[best] + move[0])),
        B=float(np.exp(v[best] + move[1])),
        loss=float(c[0] + 0.5 * c[1:3] @ move),
        hessian=hessian,
        border=_border(runs),
    )


def _border(runs: pd.DataFrame) -> tuple[str, ...]:
    best = runs.loc[runs["loss"].idxmin()]
    found = []
    for name in ("lr", "B"):
        found += [f"smaller {name}"] if best[name] == runs[name].min() else []
        found += [f"larger {name}"] if best[name] == runs[name].max() else []
    return tuple(found)


def surfaces(grid: pd.DataFrame) -> dict[str, Surface]:
    """The surface of each cell that has its optimum inside, by cell."""
    found = {}
    for cell, runs in grid.groupby("cell", sort=False):
        try:
            one = surface(runs)
        except InputError:
            continue
        if not one.border:
            found[str(cell)] = one
    return found


def optima(grid: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The optimum of each cell, and which cells have none and how to extend them.

    Returns:
        By cell: N, D, lr, B, loss and area; and a note for every cell that is left out.
    """
    pd = require("pandas", "plan")
    rows, notes = {}, []
    for cell, runs in grid.groupby("cell", sort=False):
        try:
            found = surface(runs)
        except InputError as error:
            notes.append(str(error))
            continue
        if found.border:
            notes.append(
                f"cell {cell}: the best run is on the border of the grid; extend it to "
                f"{' and '.join(found.border)}"
            )
            continue
        rows[cell] = (*runs[["N", "D"]].iloc[0], found.lr, found.B, found.loss, found.area())
    columns = ["N", "D", "lr", "B", "loss", "area"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("cell")
    return table, tuple(notes)
