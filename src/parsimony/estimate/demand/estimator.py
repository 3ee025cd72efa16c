"""``DemandForecaster``: the whole protocol as one scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from parsimony.estimate.demand import evaluation, metrics, reconcile, subsets
from parsimony.estimate.demand.forecaster import Forecaster, chosen, forecasters, rolling
from parsimony.estimate.demand.graph import Graph
from parsimony.estimate.demand.hierarchy import BOTTOM, Hierarchy, by_keys, by_parents
from parsimony.estimate.demand.intervals import Conformal, coverage
from parsimony.estimate.demand.protocol import Protocol
from parsimony.estimate.demand.selector import ENSEMBLE, Selection, select
from parsimony.estimate.demand.table import DemandTable, from_frame
from parsimony.estimate.demand.tasks import Task
from parsimony.estimate.drawing import Drawing
from parsimony.estimate.errors import EstimatorInputError


class DemandForecaster(BaseEstimator):
    """Fits forecasters under one protocol, scores them on the last months, forecasts the next.

    ``fit`` runs each forecaster at rolling origins before the test months (to choose, to calibrate
    intervals and to reconcile) and at those of the test (to report), then fits what was chosen on
    all months. The naive forecast is always among them.

    Args:
        models: names, ``quick`` or ``all``; see ``forecaster.chosen``.
        task: of the learned ones, see ``tasks``.
        context, horizon, validation, test: see ``Protocol``; in months.
        levels: to sum the table to, coarse first: ``total``, keys joined by '+'.
        parents: ``child, parent`` of series of the table, in place of ``levels``.
        graph: of the table's series, made of training months; for the forecasters that need one.
        reconcile: method that makes levels add up, see ``reconcile``; ``""`` for none.
        select: weigh the best few in each kind of series; else the one with the least MAE before
            the test is taken.
        clip: forecasts below 0 become 0, before levels are reconciled; the official code leaves
            them.
        level: of the intervals.
        rare, broken: masks of the table's series that are known, such as the published lists.
        kind: ``demand`` or ``proportion``, where the data is a frame.
        seed: of everything drawn.

    Attributes:
        summary_: index (model, subset, metric); ``estimate``, ``low``, ``high`` and more, see
            ``evaluation``.
        diagnosis_: what the reader must know, in sentences.
        chosen_: name of the model that ``predict`` uses, or ``ensemble``.
        groups_: metrics of ``chosen_`` for each group of the table, one row each.
        selection_: errors and weights by kind of series.
        protocol_, hierarchy_, table_: the split; the levels or ``None``; the series of all nodes.
        forecasts_: of each model at the test's origins, shape (nodes, windows, horizon).
        coverage_: share of the test's values inside the interval of ``chosen_``.
        parameters_: count of learned numbers by model.
    """

    def __init__(
        self, models: str | Sequence[str] = "quick", task: str = "standard", context: int = 6,
        horizon: int = 3, validation: int = 3, test: int = 6, levels: Sequence[str] = (),
        parents: pd.DataFrame | None = None, graph: Graph | None = None, reconcile: str = "",
        select: bool = True,
        clip: bool = False, level: float = 0.9, rare: np.ndarray | None = None,
        broken: np.ndarray | None = None, kind: str = "demand", seed: int = 0,
    ) -> None:  # fmt: skip
        self.models, self.task = models, task
        self.context, self.horizon, self.validation, self.test = context, horizon, validation, test
        self.levels, self.parents, self.graph = levels, parents, graph
        self.reconcile = reconcile
        self.select, self.clip, self.level = select, clip, level
        self.rare, self.broken = rare, broken
        self.kind, self.seed = kind, seed

    def fit(self, X: DemandTable | pd.DataFrame, y: None = None) -> Self:
        """Run the protocol.

        Args:
            X: a table, or a frame in either layout.
            y: not used; the table holds what is to be forecast.

        Raises:
            EstimatorInputError: a setting, or the table, breaks a rule.
        """
        table = X if isinstance(X, DemandTable) else from_frame(X, self.kind)
        self.protocol_ = self.check(table)
        self.hierarchy_, self.table_, self._groups = self._nodes(table)
        values = self.table_.values
        names = list(
            dict.fromkeys([evaluation.REFERENCE, *chosen(self.models, self.graph is not None)])
        )
        early, late = self._run(names, values)
        known = values[:, : self.protocol_.known]
        self._cells = subsets.cells(known)
        levels = self._levels()
        self.selection_ = select(
            known, early, self.protocol_, cells=np.where(levels == BOTTOM, self._cells, levels)
        )
        if self.select:
            early[ENSEMBLE] = self.selection_.combine(early)
            late[ENSEMBLE] = self.selection_.combine(late)
        early, late = self._coherent(early, late)
        before = self.protocol_.targets(known, self.protocol_.choosing())
        bottom = levels == BOTTOM
        self.chosen_ = ENSEMBLE if self.select else min(
            names, key=lambda name: float(np.abs(early[name] - before)[bottom].mean())
        )  # fmt: skip
        self.forecasts_ = late
        self._report(early, before)
        self._finish(early, before)
        return self

    def predict(self, horizon: int | None = None, recursive: bool = False) -> pd.DataFrame:
        """The months after the table's.

        Args:
            horizon: in months; ``self.horizon`` if not given.
            recursive: beyond ``self.horizon``, feed a learned forecaster with its own forecasts;
                those rows say so in the column ``recursive``.

        Returns:
            ``unique_id, ds, forecast``, the ends of the interval ``forecast-lo-LEVEL`` and
            ``forecast-hi-LEVEL`` (NaN beyond the calibrated steps), ``recursive``.

        Raises:
            EstimatorInputError: a horizon beyond that of a learned forecaster, not recursive.
        """
        check_is_fitted(self, "summary_")
        horizon = self.horizon if horizon is None else horizon
        found = self._future(horizon, recursive)
        low, high = self._conformal.ends(found)
        days = pd.PeriodIndex(self.table_.following(horizon), freq="M").to_timestamp()
        percent = f"{100 * self.level:g}"
        fed = np.arange(horizon) >= self.horizon
        fed &= any(member.learned for member in self._members.values())
        return pd.DataFrame(
            {
                "unique_id": np.repeat(self.table_.ids, horizon),
                "ds": np.tile(days.to_numpy(), len(found)),
                "forecast": found.ravel(),
                f"forecast-lo-{percent}": low.ravel(),
                f"forecast-hi-{percent}": high.ravel(),
                "recursive": np.tile(fed, len(found)),
            }
        )

    def score(self, X: DemandTable | pd.DataFrame, y: None = None) -> float:
        """Minus the MAE of the forecasts on months that came after those of ``fit``.

        Args:
            X: the fitted table's series with ``horizon`` more months at least.
            y: not used.

        Raises:
            EstimatorInputError: the months that follow are not there, or other series.
        """
        check_is_fitted(self, "summary_")
        table = X if isinstance(X, DemandTable) else from_frame(X, self.kind)
        wanted = self.table_.following(self.horizon)
        if not set(wanted) <= set(table.months):
            raise EstimatorInputError(f"a score needs the months {wanted[0]} to {wanted[-1]}",
                             got=table.months[-1])  # fmt: skip
        if self.hierarchy_ is not None:
            bottom = len(self.table_.values) - self.hierarchy_.bottom
        else:
            bottom = 0
        places = pd.Series(np.arange(len(table.ids)), index=table.ids)
        rows = places.reindex([str(i) for i in self.table_.ids[bottom:]])
        if rows.isna().any():
            raise EstimatorInputError(
                "a score needs the series of the fit", got=rows.index[rows.isna()][0]
            )
        first = table.months.index(wanted[0])
        actual = table.values[rows.astype(int).to_numpy(), first : first + self.horizon]
        return -float(np.abs(self._future(self.horizon, False)[bottom:] - actual).mean())

    def plot_errors(self, subset: str = subsets.ALL) -> Drawing:
        """MAE of each model less that of the naive forecast on the test, with its interval."""
        from parsimony.estimate.demand import page

        check_is_fitted(self)
        return Drawing(page.gaps(evaluation.wide(self.summary_, subset)))

    def plot_forecast(self, unique_id: str) -> Drawing:
        """One series and its forecast.

        Raises:
            EstimatorInputError: no such series.
        """
        from parsimony.estimate.demand import page

        check_is_fitted(self)
        places = [str(each) for each in self.table_.ids]
        if unique_id not in places:
            raise EstimatorInputError("unknown series", got=unique_id, hint=f"Such as {places[0]}")
        return Drawing(page.forecast(self, places.index(unique_id)))

    def as_dict(self) -> dict[str, Any]:
        """What was found, ready for JSON."""
        check_is_fitted(self, "summary_")
        scores = [
            dict(zip(("model", "subset", "metric"), key, strict=True))
            | {n: None if v != v else v for n, v in zip(evaluation.COLUMNS, row, strict=True)}
            for key, *row in self.summary_.itertuples()
        ]
        return {
            "chosen": self.chosen_, "coverage": self.coverage_, "level": self.level,
            "parameters": self.parameters_, "scores": scores, "notes": self.diagnosis_,
            "groups": {
                str(name): {m: None if pd.isna(v) else float(v) for m, v in row.items()}
                for name, row in self.groups_.iterrows()
            },
            "selection": {"mae": self.selection_.errors.to_dict(),
                          "weights": self.selection_.weights.to_dict()},
        }  # fmt: skip

    def forecast_table(self, horizon: int | None = None, recursive: bool = False) -> DemandTable:
        """The forecasts of ``predict`` as a table, which is written in either layout."""
        check_is_fitted(self, "summary_")
        horizon = self.horizon if horizon is None else horizon
        months = self.table_.following(horizon)
        return self.table_.with_values(months, self._future(horizon, recursive))

    def check(self, table: DemandTable) -> Protocol:
        """Refuse wrong settings before anything is computed; the split of the table's months."""
        Task.parse(self.task)
        chosen(self.models, self.graph is not None)
        if not 0 < self.level < 1:
            raise EstimatorInputError("the level of an interval must be in (0, 1)", got=self.level)
        if self.reconcile:
            reconcile.check_method(self.reconcile)
            if not self.levels and self.parents is None:
                raise EstimatorInputError("to reconcile there must be levels",
                                 hint="Give levels such as total,skill_id, or parents")  # fmt: skip
        if self.levels and self.parents is not None:
            raise EstimatorInputError("levels are summed or given by parents, not both",
                             hint="Leave one out")  # fmt: skip
        if self.graph is not None and (
            self.parents is not None or self.graph.mean.shape[0] != len(table.values)
        ):
            raise EstimatorInputError("a graph is of the series of the table, without parents",
                             hint="Read it for this table")  # fmt: skip
        for name, mask in (("rare", self.rare), ("broken", self.broken)):
            if mask is not None and np.shape(mask) != (len(table.values),):
                raise EstimatorInputError(f"the mask '{name}' needs one entry for each series",
                                 got=np.shape(mask))  # fmt: skip
        return Protocol(len(table.months), self.context, self.horizon, self.validation, self.test)

    def _nodes(self, table: DemandTable) -> tuple[Hierarchy | None, DemandTable, np.ndarray]:
        """Levels, the series of all nodes, and the group of each node (its level above)."""
        self._places = np.arange(len(table.values))  # of the bottom series in the given table
        if not self.levels and self.parents is None:
            self._graph = self.graph
            return None, table, table.groups
        if self.parents is not None:
            levels, bottom = by_parents(table, self.parents)
            self._places = np.flatnonzero(np.isin(table.ids, bottom.ids))
        else:
            levels, bottom = by_keys(table, list(self.levels)), table
        upper = len(levels.nodes) - levels.bottom
        self._graph = None if self.graph is None else self.graph.below(upper)
        keys = pd.DataFrame({"node_id": levels.nodes.astype(str)})
        values = levels.aggregate(bottom.values)
        values.setflags(write=False)
        groups = np.concatenate([levels.levels[:upper], bottom.groups])
        nodes = DemandTable(keys, bottom.months, values, bottom.kind, bottom.source)
        self._skills = np.concatenate([levels.nodes[:upper], bottom.skills])
        return levels, nodes, groups

    def _new(self, name: str) -> Forecaster:
        kind = forecasters()[name]
        if not kind.learned:
            return kind()
        graph = {"graph": self._graph} if kind.needs_graph else {}
        return kind(context=self.context, horizon=self.horizon, validation=self.validation,
                    task=self.task, seed=self.seed, **graph)  # fmt: skip

    def _run(
        self, names: list[str], values: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Forecasts of each model before the test and at the test, clipped if asked."""
        early, late = {}, {}
        self.parameters_, self._below = {}, 0
        known = values[:, : self.protocol_.known]
        for name in names:
            early[name] = rolling(
                self._new(name), known, self.protocol_.choosing(), self.horizon, self._groups
            )
            model = self._new(name)
            late[name] = rolling(
                model, values, self.protocol_.origins("test"), self.horizon, self._groups
            )
            self.parameters_[name] = model.parameters_
            self._below += int((late[name] < 0).sum())
            if self.clip:
                early[name], late[name] = early[name].clip(0), late[name].clip(0)
        return early, late

    def _coherent(
        self, early: dict[str, np.ndarray], late: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Both reconciled by the errors before the test; ``_errors`` keeps these."""
        origins = self.protocol_.choosing()
        actual = self.protocol_.targets(self.table_.values[:, : self.protocol_.known], origins)
        self._errors = {n: (_flat(actual), _flat(found)) for n, found in early.items()}
        if not self.reconcile:
            return early, late
        return (
            {name: self._reconciled(name, found) for name, found in early.items()},
            {name: self._reconciled(name, found) for name, found in late.items()},
        )

    def _reconciled(self, name: str, forecasts: np.ndarray) -> np.ndarray:
        found = reconcile.reconcile(
            self.hierarchy_, _flat(forecasts), self.reconcile, *self._errors[name]
        )
        return found.reshape(forecasts.shape)

    def _report(self, early: dict[str, np.ndarray], before: np.ndarray) -> None:
        """Summary, coverage and diagnosis on the test."""
        values, protocol = self.table_.values, self.protocol_
        actual = protocol.targets(values, protocol.origins("test"))
        first = protocol.choosing()[0]
        scale = metrics.steps(values[:, :first])
        quantiles, tail = {}, (1 - self.level) / 2
        for name, found in self.forecasts_.items():
            bands = Conformal.fit(before, early[name], scale, self._cells, self.level)
            low, high = bands.ends(found)
            quantiles[name] = {tail: low, 1 - tail: high}
        bottom, masks = self._masks()
        skills = self.table_.skills if self.hierarchy_ is None else self._skills
        of_mase = metrics.steps(values[:, : protocol.train])
        self.summary_ = evaluation.summary(
            actual, self.forecasts_, masks, skills, of_mase, quantiles, self._groups, self.seed
        )
        self.groups_ = metrics.by_group(
            actual[bottom], self.forecasts_[self.chosen_][bottom], self._groups[bottom],
            of_mase[bottom],
        )  # fmt: skip
        ends = quantiles[self.chosen_]
        self.coverage_ = coverage(actual, ends[tail], ends[1 - tail])
        still = int((of_mase[bottom] == 0).sum())
        zero = self.summary_.loc[(self.chosen_, subsets.ALL, "smape_zero_share"), "estimate"]
        clipped = "set to 0" if self.clip else "left as they are, as in the official code"
        found = [
            f"{protocol.train} months train, {protocol.validation} validate, {protocol.test} test; "
            f"{len(protocol.origins('test'))} test windows of {self.horizon} months",
            f"'{self.chosen_}' was chosen at {len(protocol.choosing())} origins before the test; "
            f"its {self.level:.0%} intervals hold {self.coverage_:.1%} of the test's values",
            f"{still} of {int(bottom.sum())} series are constant over the training months: "
            "forecast as constant, left out of MASE",
            f"{zero:.1%} of SMAPE's terms are 0/0, counted as 0",
        ]
        if self._below:
            found.append(f"{self._below} forecasts below 0 were {clipped}")
        if self.graph is not None:
            found.append(self.graph.told())
        if self.task != "standard":
            found.append(
                f"The task '{self.task}' changes the training of learned forecasters alone"
            )
        self.diagnosis_ = found

    def _levels(self) -> np.ndarray:
        """Level of each node, shape (nodes,)."""
        if self.hierarchy_ is None:
            return np.full(len(self.table_.values), BOTTOM, object)
        return self.hierarchy_.levels

    def _masks(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Which nodes are bottom series, and the subsets of nodes to score on."""
        count, levels = len(self.table_.values), self._levels()
        bottom = levels == BOTTOM
        known = [None if m is None else m[self._places] for m in (self.rare, self.broken)]
        own = subsets.subsets(self.table_.values[bottom], *known)
        masks = {name: np.zeros(count, bool) for name in own}
        for name, mask in own.items():
            masks[name][bottom] = mask
        for level in dict.fromkeys(levels[~bottom]):
            masks[f"level {level}"] = levels == level
        return bottom, masks

    def _finish(self, early: dict[str, np.ndarray], before: np.ndarray) -> None:
        """Fit what was chosen on all months; calibrate by the errors of all origins."""
        values, protocol = self.table_.values, self.protocol_
        weights: Selection = self.selection_
        names = [self.chosen_]
        if self.select:
            names = [str(n) for n in weights.weights.index[(weights.weights > 0).any(axis=1)]]
        self._members: dict[str, Any] = {
            name: clone(self._new(name)).fit(values, self._groups) for name in names
        }
        after = protocol.targets(values, protocol.origins("test"))
        self._conformal = Conformal.fit(
            np.concatenate([before, after], axis=1),
            np.concatenate([early[self.chosen_], self.forecasts_[self.chosen_]], axis=1),
            metrics.steps(values), self._cells, self.level,
        )  # fmt: skip

    def _future(self, horizon: int, recursive: bool) -> np.ndarray:
        """Forecasts of what was chosen, shape (nodes, horizon)."""
        found = {}
        for name, member in self._members.items():
            longer = member.learned and horizon > self.horizon and recursive
            found[name] = member.recursive(horizon) if longer else member.predict(horizon)
            found[name] = found[name].clip(0) if self.clip else found[name]
        whole = self.selection_.combine(found) if self.select else found[self.chosen_]
        return self._reconciled(self.chosen_, whole) if self.reconcile else whole


def _flat(found: np.ndarray) -> np.ndarray:
    return found.reshape(len(found), -1)
