"""What a forecaster is: ``fit(history)``, ``predict(horizon)``, on a matrix of series.

A scikit-learn estimator whose X is ``history``, shape (series, months), and whose forecast has
shape (series, horizon). ``update(history)`` moves on to more months: a statistical forecaster fits
again, a learned one keeps its weights. One file each in ``models``, found by looking; outside
packages add theirs under the entry point ``parsimony.estimate.demand``.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from parsimony.core.errors import InputError, nearest, require
from parsimony.core.registry import discover


class Forecaster(BaseEstimator, ABC):
    """The base of the forecasters.

    Attributes:
        name: on the command line.
        quick: a hundred thousand series take seconds.
        needs_graph: made with a graph of the series.
        learned: trained on windows of all series, for one horizon, by a task's loss.
        parameters_: count of numbers that were learned for all series together.
        history_: shape (series, months).
    """

    name: ClassVar[str]
    quick: ClassVar[bool] = False
    learned: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False

    def fit(self, history: np.ndarray, groups: np.ndarray | None = None) -> Self:
        """Learn from the months so far.

        Args:
            history: shape (series, months), finite.
            groups: label of each series, which the task ``fair`` needs.
        """
        self.history_ = _checked(history)
        self.parameters_ = 0
        return self

    def update(self, history: np.ndarray) -> Self:
        """Go on with more months of the same series."""
        return self.fit(history)

    def predict(self, horizon: int) -> np.ndarray:
        """The next months, shape (series, horizon). A constant series stays constant."""
        check_is_fitted(self, "history_")
        if horizon < 1:
            raise InputError("the horizon must be at least 1 month", got=horizon)
        constant = np.ptp(self.history_, axis=1) == 0
        found = np.repeat(self.history_[:, -1:], horizon, axis=1)
        if not constant.all():
            found[~constant] = self._moving(np.flatnonzero(~constant), horizon)
        return found

    @abstractmethod
    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        """Forecasts of the series that are not constant, shape (len(series), horizon)."""


class RowByRow(Forecaster):
    """A model of statsforecast, fitted to one series after the other."""

    @abstractmethod
    def peer(self) -> Any:
        """The model, not fitted."""

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        model = self.peer()
        return np.stack([model.forecast(y=row, h=horizon)["mean"] for row in self.history_[series]])


def statsforecast() -> Any:
    """The models of statsforecast, which are slow to import."""
    return require("statsforecast.models", "estimate")


def rolling(
    forecaster: Forecaster,
    values: np.ndarray,
    origins: Sequence[int],
    horizon: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Forecasts of each origin, which see the months before it alone.

    Args:
        forecaster: fitted to the months before the first origin, and updated at the others.
        values: shape (series, months).
        origins: rising.
        horizon: in months.
        groups: see ``Forecaster.fit``.

    Returns:
        shape (series, windows, horizon).
    """
    found = []
    for place, origin in enumerate(origins):
        history = values[:, :origin]
        if place == 0:
            forecaster.fit(history, groups)
        else:
            forecaster.update(history)
        found.append(forecaster.predict(horizon))
    return np.stack(found, axis=1)


@functools.cache
def forecasters() -> dict[str, type[Forecaster]]:
    """Every forecaster by name."""
    return discover("parsimony.estimate.demand.models", Forecaster, "parsimony.estimate.demand")  # type: ignore[type-abstract]


def chosen(names: str | Sequence[str], graph: bool = False) -> list[str]:
    """The forecasters meant by names (a list, or joined by commas); ``quick`` and ``all`` are some.

    Args:
        names: the last two leave out those that need a graph, if there is none.
        graph: there is one.

    Raises:
        InputError: an unknown name; the nearest is named.
    """
    known = forecasters()
    given = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    found: list[str] = []
    for name in given:
        if name in ("all", "quick"):
            found += [
                n for n, kind in known.items()
                if (kind.quick or name == "all") and (graph or not kind.needs_graph)
            ]  # fmt: skip
            continue
        if name not in known:
            raise InputError(f"unknown forecaster '{name}'",
                             hint=nearest(name, [*known, "all", "quick"]))  # fmt: skip
        if known[name].needs_graph and not graph:
            raise InputError(f"{name} needs a graph of the series",
                             hint="Give one, or leave it out")  # fmt: skip
        found.append(name)
    return list(dict.fromkeys(found))


def _checked(history: np.ndarray) -> np.ndarray:
    history = np.asarray(history, np.float64)
    if history.ndim != 2 or history.shape[1] < 2 or not len(history):
        raise InputError("a history has the shape (series, months), with 2 months at least",
                         got=history.shape)  # fmt: skip
    if not np.isfinite(history).all():
        raise InputError("a history must be finite", hint="Nothing is filled in silently")
    return history
