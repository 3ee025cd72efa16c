"""The power law of the best peak rate under WSD: linear in the batch, a power of the tokens.

``lr / batch = a D^b`` with D the tokens of the whole run, b below 0, and a per one of the unit that
the batch counts: a per token is a per sequence divided by the tokens of a sequence. Where runs
train under muP both hardly change with the size of the model (Shen et al. 2024, arXiv 2408.13359).
``tune.schedules.PowerScheduler`` takes a and b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from parsimony.core.errors import InputError, require
from parsimony.core.fitting.columns import positive
from parsimony.core.fitting.law import Array, Columns, Law

if TYPE_CHECKING:
    import pandas as pd

PROBE = 1e10
PLAUSIBLE = (1e-5, 0.1)
"""Where the rate at ``PROBE`` tokens lies when units are right."""


class PowerLaw(Law):
    """Least squares of ln(lr / batch) on ln D.

    A table with a ``loss`` holds raw runs: every (batch, D) that has several rates, and a ``seed``
    where given, becomes one row with its best rate.
    """

    name = "power"
    formula = "lr = batch a D^b"
    source = "Shen et al. 2024, arXiv 2408.13359"
    columns = ("D", "batch")
    fixed = ("batch",)
    target = "lr"
    parameters = ("c", "b")
    delta = float("inf")
    reach: ClassVar[Mapping[str, float]] = {"D": 100.0, "batch": 100.0}

    def evaluate(self, theta: Array, x: Columns) -> tuple[Array, Array]:
        tokens, batch = np.log(x["D"]), np.log(x["batch"])
        value = theta[..., 0, None] + theta[..., 1, None] * tokens + batch
        gradient = np.empty((*value.shape[:-1], 2, value.shape[-1]))
        gradient[..., 0, :], gradient[..., 1, :] = 1.0, tokens
        return value, gradient

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array([[0.0, -0.5]])

    def constants(self, theta: Array) -> dict[str, Array]:
        """a and b."""
        return {"a": np.exp(theta[..., 0]), "b": theta[..., 1]}

    def prepare(self, table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The best rates of raw runs."""
        return best_rates(table, file) if "loss" in table.columns else (table, ())

    def check(self, table: pd.DataFrame, file: str) -> tuple[str, ...]:
        """Two lengths at least; a run has as many tokens as one step, or D counts something else.

        Raises:
            InputError: it does not hold.
        """
        x = positive(table, self.columns, file)
        if (short := x["D"] < x["batch"]).any():
            first = int(np.argmax(short))
            raise InputError(
                f"{file}: D counts the tokens of a whole run, and cannot be below the batch",
                got={"D": float(x["D"][first]), "batch": float(x["batch"][first])},
                hint="Multiply steps by the tokens of a step",
            )
        if len(np.unique(x["D"])) < 2:
            raise InputError(
                f"{file}: the exponent of D needs at least 2 different values of it",
                got=1,
                hint="Add runs",
            )
        return ()

    def refusal(self, theta: Array, y: Array) -> str:
        """A rate that grows with the tokens."""
        return f"b must be below 0, and came out {theta[1]:.4g}" if theta[1] >= 0 else ""

    def remarks(self, theta: Array, x: Columns) -> tuple[str, ...]:
        """A steep exponent, and constants whose units look wrong."""
        found = []
        if theta[1] < -1:
            found.append(
                f"b = {theta[1]:.4g} is below -1: the rates of an endless run then have a finite "
                "sum; do the shorter runs end before they learn?"
            )
        batch = float(np.exp(np.log(x["batch"]).mean()))
        rate = batch * math.exp(theta[0]) * PROBE ** theta[1]
        if not PLAUSIBLE[0] <= rate <= PLAUSIBLE[1]:
            found.append(
                f"at {PROBE:.0e} tokens and a batch of {batch:.4g} the rate would be {rate:.2g}, "
                f"outside {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g}: does D count tokens, not steps or "
                "sequences?"
            )
        return tuple(found)


def best_rate(rates: Array, losses: Array) -> tuple[float, float]:
    """Best rate and its loss, by the parabola in ln lr through the best run and its neighbours.

    Args:
        rates: [n], at least 3, different.
        losses: [n].

    Raises:
        InputError: too few rates, or the best is the least or greatest of them or next to a run
            that diverged, so that the optimum is not known.
    """
    order = np.argsort(rates)
    rates, losses = np.asarray(rates, float)[order], np.asarray(losses, float)[order]
    if len(rates) < 3:
        raise InputError("the best rate needs at least 3 rates", got=len(rates))
    best = int(losses.argmin())
    if best in (0, len(rates) - 1):
        side = "smaller" if best == 0 else "larger"
        raise InputError(f"the best run is at the end of its rates; add {side} ones",
                         got=float(rates[best]))  # fmt: skip
    near = slice(best - 1, best + 2)
    if not np.isfinite(losses[near]).all():
        raise InputError("the best run is next to one that diverged; add rates between them",
                         got=float(rates[best]))  # fmt: skip
    bend, slope, level = np.polyfit(np.log(rates[near] / rates[best]), losses[near], 2)
    move = -slope / (2 * bend)
    return float(rates[best] * math.exp(move)), float(level + slope * move / 2)


def best_rates(
    table: pd.DataFrame, file: str = "the table"
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The best rate of each cell of raw runs, a cell being one (batch, D), and seed where given.

    Args:
        table: batch, D, lr, loss, and seed or not; losses of one setting are averaged.
        file: name of the table, for errors.

    Returns:
        batch, D, lr, loss and cell; and a note for every cell that has no best rate.

    Raises:
        DataError: a column is missing or a value not positive.
        InputError: no cell has a best rate.
    """
    pd = require("pandas", "plan")
    runs = pd.DataFrame(positive(table, ["batch", "D", "lr", "loss"], file))
    keys = ["batch", "D"]
    if "seed" in table.columns:
        runs["seed"] = table["seed"].to_numpy()
        keys.append("seed")
    rows, notes = [], []
    for cell, some in runs.groupby(keys, sort=False):
        told = ", ".join(f"{k} {v:g}" if k != "seed" else f"seed {v}" for k, v in
                         zip(keys, cell, strict=True))  # fmt: skip
        mean = some.groupby("lr")["loss"].mean()
        try:
            rate, loss = best_rate(mean.index.to_numpy(), mean.to_numpy())
        except InputError as error:
            notes.append(f"{told} is left out: {error}")
            continue
        rows.append((cell[0], cell[1], rate, loss, told))
    if not rows:
        raise InputError(f"{file}: no (batch, D) has a best rate", hint=f"Such as {notes[0]}")
    return pd.DataFrame(rows, columns=["batch", "D", "lr", "loss", "cell"]), tuple(notes)
