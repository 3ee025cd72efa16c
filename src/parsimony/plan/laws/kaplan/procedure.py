"""Fit Kaplan's constants one law at a time, which is what makes them identifiable (Su et al.).

1. ``alpha_N, N_c``: a line through the converged losses of several sizes.
2. ``alpha_B, B_star``: of one size at several batch sizes, the steps to each of a ladder of losses
   give the critical batch there; a line through those.
3. ``alpha_S, S_c``: every point of every curve after warm-up, its steps converted to S_min, with
   the constants of 1 and 2 held.
4. Uncertainty: whole runs are resampled, since the points of one curve depend on each other, and
   all three steps are repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from parsimony.core.errors import InputError, require
from parsimony.core.fitting import Fit, Loss, Provenance, fit
from parsimony.core.fitting.columns import TABLE, positive
from parsimony.core.fitting.engine import best, spread_of_few
from parsimony.core.fitting.law import Array
from parsimony.plan.laws.kaplan import KaplanBatch, KaplanSize, KaplanSteps, KaplanTradeoff
from parsimony.plan.laws.kaplan.curves import Kaplan

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 8
FLAT = 0.01
"""Largest relative fall of the loss over the last fifth of a run that counts as converged."""


@dataclass(frozen=True)
class Steps:
    """What the procedure found.

    Attributes:
        constants: of all runs.
        draws: of the resampled runs.
        sizes: step 1, a fit of its own.
        batches: loss and B_crit of the ladder of step 2.
        error: mean relative error of the loss over all points of step 3.
        provenance: the setting the constants belong to.
    """

    constants: Kaplan
    draws: tuple[Kaplan, ...]
    sizes: Fit
    batches: pd.DataFrame
    error: float
    provenance: Provenance

    def report(self, level: float = 0.95) -> pd.DataFrame:
        """Constants by name: value, low, high."""
        pd = require("pandas", "plan")
        drawn = np.array([astuple(draw) for draw in self.draws])
        low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)], axis=0)
        names = pd.Index([field.name for field in fields(Kaplan)], name="constant")
        return pd.DataFrame(
            {"value": astuple(self.constants), "low": low, "high": high}, index=names
        )

    def loss(self, N: ArrayLike, S: ArrayLike, B: ArrayLike, level: float = 0.95) -> pd.DataFrame:
        """Loss after S steps of B tokens: value, low, high; [n] rows for broadcast arguments."""
        pd = require("pandas", "plan")
        n, s, b = (a.ravel() for a in np.broadcast_arrays(N, S, B))
        drawn = [draw.loss(n, s, b) for draw in self.draws]
        low, high = np.quantile(drawn, [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
        value = self.constants.loss(n, s, b)
        return pd.DataFrame({"N": n, "S": s, "B": b, "value": value, "low": low, "high": high})


def fit_kaplan(
    curves: pd.DataFrame,
    converged: pd.DataFrame | None = None,
    *,
    warm_up: float,
    levels: int = LEVELS,
    bootstraps: int = 200,
    seed: int = 0,
    provenance: Provenance | None = None,
    file: str = TABLE,
) -> Steps:
    """The six constants from training curves at a constant learning rate.

    Args:
        curves: one row per logged point: run, N, B (tokens per step), S (steps so far), loss. One
            size must have at least 3 batch sizes.
        converged: N and loss of runs that were trained until the loss was flat; the ends of the
            curves, which must then be flat, when ``None``.
        warm_up: points of the first so many steps are left out; the law does not hold there.
        levels: losses of the ladder of step 2.
        bootstraps: resamples of the runs.
        seed: of the resamples.
        provenance: the setting of the runs.
        file: name of the table, for errors.

    Raises:
        DataError: a column is missing or a value not positive.
        InputError: fewer than 3 sizes or batch sizes; runs that are not flat; no points after
            warm-up; a fit that makes no sense.
    """
    if "run" not in curves.columns:
        raise InputError(
            f"{file}: points of one curve depend on each other, and a column 'run' must tell "
            "which belong together"
        )
    points = curves[["run"]].assign(**positive(curves, ("N", "B", "S", "loss"), file))
    points = points.reset_index(drop=True)
    after = points[points["S"] > warm_up]
    if after.empty:
        raise InputError(f"{file}: no point is after the warm-up of {warm_up:g} steps")
    ends = _ends(points, file) if converged is None else converged
    if ends["N"].nunique() < 3:
        raise InputError(
            f"{file}: step 1 needs at least 3 sizes to draw a line through",
            got=int(ends["N"].nunique()),
        )
    sizes = fit(KaplanSize(), ends, bootstraps=bootstraps, seed=seed, file=file)
    one = after[after["N"] == _most_batches(after)]
    reached = _steps_to(one, levels, file)
    batches = _critical(reached, file)
    line = _line(batches)
    theta, _ = _last(after, sizes.theta, line)
    constants = _constants(sizes.theta, line, theta)
    if reason := KaplanSteps().refusal(theta, np.log(after["loss"].to_numpy())):
        raise InputError(f"{file}: step 3 failed: {reason}")
    predicted = constants.loss(after["N"], after["S"], after["B"])
    random = np.random.default_rng(seed)
    return Steps(
        constants=constants,
        draws=tuple(_resample(after, reached, sizes, (line, theta), file, random)),
        sizes=sizes,
        batches=batches,
        error=float(np.abs(predicted / after["loss"].to_numpy() - 1).mean()),
        provenance=provenance or Provenance(),
    )


@dataclass(frozen=True)
class BatchFit:
    """Step 2 alone, for one size: what a batch size costs and saves at each loss.

    Attributes:
        B_star: of B_crit = B_star / L^(1 / alpha_B), in the unit of B.
        alpha_B: likewise.
        batches: loss, S_min and B_crit of the ladder, each loss fitted by itself.
        reached: loss, run, B and S: the steps at which each run had each loss of the ladder.
    """

    B_star: float
    alpha_B: float
    batches: pd.DataFrame
    reached: pd.DataFrame

    def curve(self, B: float) -> pd.DataFrame:
        """Loss and the steps S to it with batch B, S = S_min (1 + B_crit / B); falling losses."""
        pd = require("pandas", "plan")
        rows = []
        for loss, runs in self.reached.groupby("loss"):
            critical = self.B_star / loss ** (1 / self.alpha_B)
            least = np.exp(np.mean(np.log(runs["S"]) - np.log1p(critical / runs["B"])))
            rows.append((loss, least * (1 + critical / B)))
        return pd.DataFrame(rows[::-1], columns=["loss", "S"])


def fit_batches(
    curves: pd.DataFrame, *, warm_up: float, levels: int = LEVELS, file: str = TABLE
) -> BatchFit:
    """Step 2 alone: the critical batch of one size, and with it the curve of any batch size.

    Args:
        curves: as in ``fit_kaplan``, of one size at 3 or more batch sizes.
        warm_up: as in ``fit_kaplan``.
        levels: losses of the ladder.
        file: name of the table, for errors.

    Raises:
        DataError: a column is missing or a value not positive.
        InputError: fewer than 3 batch sizes, no loss that 3 of them reach.
    """
    points = curves[["run"]].assign(**positive(curves, ("B", "S", "loss"), file))
    reached = _steps_to(points[points["S"] > warm_up], levels, file)
    batches = _critical(reached, file)
    line = KaplanBatch().constants(_line(batches))
    return BatchFit(float(line["B_star"]), float(line["alpha_B"]), batches, reached)


def _ends(points: pd.DataFrame, file: str) -> pd.DataFrame:
    """Step 1: where the best run of each size ends, by a line through its last half; if flat."""
    pd = require("pandas", "plan")
    rows = []
    for size, same in points.groupby("N"):
        lowest = same.loc[same["loss"].idxmin(), "run"]
        run = same[same["run"] == lowest].sort_values("S")
        steps = np.log(run["S"].to_numpy())
        tail = np.arange(len(run)) >= min(
            len(run) - 5, int(np.searchsorted(steps, steps[-1] - 0.7))
        )
        slope, level = np.polyfit(steps[tail], np.log(run["loss"].to_numpy()[tail]), 1)
        end, fall = float(np.exp(level + slope * steps[-1])), float(np.expm1(slope * np.log(0.8)))
        if not fall <= FLAT:
            raise InputError(
                f"{file}: step 1 needs converged runs, and the best one of N = {size:.4g} "
                f"(run {lowest}) still falls by {100 * fall:.2g} % over its last fifth",
                hint="Train longer, or give the converged losses in a table of their own",
            )
        rows.append((size, end))
    return pd.DataFrame(rows, columns=["N", "loss"])


def _most_batches(points: pd.DataFrame) -> float:
    return float(points.groupby("N")["B"].nunique().idxmax())


def _steps_to(one: pd.DataFrame, levels: int, file: str) -> pd.DataFrame:
    """Steps at which each run of one size first reaches each loss of a ladder: loss, run, B, S."""
    if one["B"].nunique() < 3:
        raise InputError(
            f"{file}: step 2 needs one size at 3 or more batch sizes",
            got=int(one["B"].nunique()),
            hint="Train one size at 4 or more batch sizes, each at its best learning rate",
        )
    pd = require("pandas", "plan")
    curves = {}
    for run, points in one.sort_values("S").groupby("run"):
        smooth = points["loss"].rolling(5, center=True, min_periods=1).mean()
        curves[run] = (points["B"].iloc[0], np.log(points["S"].to_numpy()),
                       np.minimum.accumulate(smooth.to_numpy()))  # fmt: skip
    # Between the third highest start and the third lowest end, 3 runs have every loss.
    high = sorted((envelope[0] for _, _, envelope in curves.values()), reverse=True)[2]
    low = sorted(envelope[-1] for _, _, envelope in curves.values())[2]
    if not high > low:
        raise InputError(f"{file}: no loss is reached after warm-up by 3 batch sizes")
    rows = [
        (level, run, batch, float(np.exp(np.interp(-level, -envelope, log_steps))))
        for level in np.geomspace(high, low, levels + 2)[1:-1]
        for run, (batch, log_steps, envelope) in curves.items()
        if envelope[-1] <= level <= envelope[0]
    ]
    return pd.DataFrame(rows, columns=["loss", "run", "B", "S"])


def _critical(reached: pd.DataFrame, file: str) -> pd.DataFrame:
    """Step 2: the critical batch at each loss that 3 batch sizes reach."""
    pd = require("pandas", "plan")
    law, rows = KaplanTradeoff(), []
    for level, runs in reached.groupby("loss"):
        if runs["B"].nunique() >= 3:
            x, y = {"B": runs["B"].to_numpy()}, np.log(runs["S"].to_numpy())
            theta, _ = best(law, x, y, np.ones(len(y)), Loss(law.delta), {})
            rows.append((level, *np.exp(theta)))
    if len(rows) < 2:
        raise InputError(f"{file}: step 2 needs 2 losses that 3 batch sizes reach", got=len(rows))
    return pd.DataFrame(rows, columns=["loss", "S_min", "B_crit"])


def _line(batches: pd.DataFrame) -> Array:
    """log B_star and 1 / alpha_B."""
    law = KaplanBatch()
    x, y = {"loss": batches["loss"].to_numpy()}, np.log(batches["B_crit"].to_numpy())
    return best(law, x, y, np.ones(len(y)), Loss(law.delta), {})[0]


def _last(points: pd.DataFrame, sizes: Array, line: Array) -> tuple[Array, float]:
    """Step 3: parameters of ``KaplanSteps`` with the first two held, and the loss of the fit."""
    law, loss = KaplanSteps(), points["loss"].to_numpy()
    critical = np.exp(line[0] - line[1] * np.log(loss))
    steps = points["S"].to_numpy() / (1 + critical / points["B"].to_numpy())
    held = {"k": float(sizes[0]), "alpha_N": float(sizes[1])}
    x = {"N": points["N"].to_numpy(), "S_min": steps}
    return best(law, x, np.log(loss), np.ones(len(loss)), Loss(law.delta), held)


def _constants(sizes: Array, line: Array, steps: Array) -> Kaplan:
    size = KaplanSize().constants(sizes)
    batch, step = KaplanBatch().constants(line), KaplanSteps().constants(steps)
    return Kaplan(
        float(size["N_c"]), float(size["alpha_N"]), float(step["S_c"]), float(step["alpha_S"]),
        float(batch["B_star"]), float(batch["alpha_B"]),
    )  # fmt: skip


def _resample(
    points: pd.DataFrame,
    reached: pd.DataFrame,
    sizes: Fit,
    middle: tuple[Array, Array],
    file: str,
    random: np.random.Generator,
) -> Iterator[Kaplan]:
    """Step 4: the constants of each draw of runs, around ``middle``, those of steps 2 and 3."""
    pd = require("pandas", "plan")
    runs, ladder = (dict(list(table.groupby("run"))) for table in (points, reached))
    names = list(runs)
    wider = spread_of_few(len(ladder), 2), spread_of_few(len(names), 2)
    for theta in sizes.draws:
        drawn = _several(ladder, random)
        line = _line(_critical(pd.concat([ladder[name] for name in drawn]), file))
        line = middle[0] + wider[0] * (line - middle[0])
        chosen = random.choice(len(names), len(names))
        steps, _ = _last(pd.concat([runs[names[i]] for i in chosen]), theta, line)
        steps = np.array([*steps[:2], *(middle[1] + wider[1] * (steps - middle[1]))[2:]])
        yield _constants(theta, line, steps)


def _several(ladder: dict[str, pd.DataFrame], random: np.random.Generator) -> list[str]:
    """A draw of runs with at least 3 batch sizes."""
    names = list(ladder)
    while True:
        drawn = [names[i] for i in random.choice(len(names), len(names))]
        if len({ladder[name]["B"].iloc[0] for name in drawn}) >= 3:
            return drawn
