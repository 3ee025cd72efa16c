"""The figures of a fit, as data of ``core.pages``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parsimony.core.pages import Axis, Plot, Series
from parsimony.estimate.errors import EstimatorInputError
from parsimony.estimate.survival.family import Array
from parsimony.estimate.survival.nonparametric import kaplan_meier
from parsimony.estimate.survival.prediction import Predictor

if TYPE_CHECKING:
    from parsimony.estimate.survival.regression import SurvivalRegressor

_POINTS = 80
_MOST_GROUPS = 6
_STEPS = 200  # of a drawn Kaplan-Meier curve


def survival(fit: SurvivalRegressor, by: str | None = None) -> Plot:
    """Survivor at the mean predictors of each group, with its band, over Kaplan and Meier's.

    Args:
        fit: fitted.
        by: a column whose values make the groups; all rows by default.
    """
    at = _grid(fit, first=0.0)
    outcome, weights = fit._outcome, fit._fitted.model.weights
    series, steps = [], []
    for name, rows in groups(fit, by):
        value, low, high = _mean_band(fit, rows, at, "survivor")
        series.append(_line(name, at, value, low, high))
        known = rows & ~outcome.within
        if known.any():
            entry = None if outcome.entry is None else outcome.entry[known]
            share = None if weights is None else weights[known]
            times, height = kaplan_meier(outcome.time[known], outcome.event[known], entry, share)
            x, y = _staircase(times, height, outcome.time[known].max())
            label = "Kaplan-Meier" + (f", {name}" if by else "")
            steps.append(Series(name=label, x=x, y=y, style="dashed"))
    return Plot(
        title="Survivor" + (f" by {by}" if by else ""), x=_time(fit), series=[*series, *steps],
        y=Axis(label="share without the event"),
    )  # fmt: skip


def hazard(fit: SurvivalRegressor, by: str | None = None) -> Plot:
    """Fitted hazard at the mean predictors of each group, with its band."""
    at = _grid(fit)
    series = [
        _line(name, at, *_mean_band(fit, rows, at, "hazard")) for name, rows in groups(fit, by)
    ]
    return Plot(
        title="Hazard" + (f" by {by}" if by else ""), x=_time(fit), series=series,
        y=Axis(label="events per unit of time"),
    )  # fmt: skip


def hazard_ratio(fit: SurvivalRegressor, one: Any, other: Any) -> Plot:
    """The ratio over time with its band, and 1."""
    at = _grid(fit)
    told = fit.hazard_ratio(one, other, at)
    ends = [float(at[0]), float(at[-1])]
    return Plot(
        title="Hazard ratio over time", x=_time(fit), y=Axis(label="hazard ratio", log=True),
        series=[
            _line("ratio", at, *(told[c].to_numpy() for c in ("estimate", "low", "high"))),
            Series(name="equal hazards", x=ends, y=[1.0, 1.0], style="dashed"),
        ],
    )  # fmt: skip


def profile(fit: SurvivalRegressor, parameter: str, term: str) -> Plot:
    """The loss of log-likelihood over one coefficient, and Wald's parabola."""
    told = fit.profile(parameter, term)
    x = told["value"].to_numpy()
    error = float(fit.standard_errors_[parameter, term])
    series = [Series(name="profile", x=x.tolist(), y=told["lost"].tolist(), style="line")]
    if np.isfinite(error):
        parabola = 0.5 * ((x - fit.coef_[parameter, term]) / error) ** 2
        series.append(Series(name="Wald", x=x.tolist(), y=parabola.tolist(), style="dashed"))
    return Plot(
        title=f"Profile of {parameter}: {term}",
        note="The 95 % interval is where the loss is below 1.92.",
        x=Axis(label="coefficient"), y=Axis(label="log-likelihood lost"), series=series,
    )  # fmt: skip


def residuals(fit: SurvivalRegressor) -> Plot:
    """Cumulative hazard of the Cox-Snell residuals, which is the diagonal if the fit is right."""
    found = fit.residuals()["cox_snell"].to_numpy()
    # The residual of a row that entered late starts at its entry, so all start at 0.
    weights = fit._fitted.model.weights
    times, height = kaplan_meier(found, fit._outcome.event, weights=weights)
    keep = _thin(len(times))
    below = height[keep] > 0
    x, y = times[keep][below], -np.log(height[keep][below])
    end = float(max(x.max(), y.max()))
    return Plot(
        title="Cox-Snell residuals", x=Axis(label="residual"), y=Axis(label="cumulative hazard"),
        series=[
            Series(name="residuals", x=x.tolist(), y=y.tolist()),
            Series(name="a right fit", x=[0.0, end], y=[0.0, end], style="dashed"),
        ],
    )  # fmt: skip


def groups(fit: SurvivalRegressor, by: str | None) -> list[tuple[str, Array]]:
    """Name and rows of each group.

    Raises:
        EstimatorInputError: no such column, or too many values to draw.
    """
    if by is None:
        return [("fit", np.ones(len(fit._X), bool))]
    if by not in fit._X.columns:
        raise EstimatorInputError(
            "there is no such column", got=by, hint=f"Known: {', '.join(map(str, fit._X.columns))}"
        )
    values = pd.unique(fit._X[by])
    if len(values) > _MOST_GROUPS:
        raise EstimatorInputError(
            f"a figure shows up to {_MOST_GROUPS} groups, but '{by}' has", got=len(values),
            hint="Cut the column into groups first",
        )  # fmt: skip
    return [(f"{by} = {value}", (fit._X[by] == value).to_numpy()) for value in sorted(values)]


def _mean_band(fit: SurvivalRegressor, rows: Array, at: Array, kind: str) -> tuple[Array, ...]:
    """At the mean linear predictors of these rows: value, low, high, [times] each."""
    predictor = Predictor(fit._fitted, fit._X[rows], fit.level).mean()
    found = predictor.survivor_band(at) if kind == "survivor" else predictor.hazard_band(at)
    return tuple(part[0] for part in found)


def _line(name: str, x: Array, y: Array, low: Array, high: Array) -> Series:
    known = bool(np.isfinite(low).all() and np.isfinite(high).all())
    return Series(
        name=name, x=x.tolist(), y=y.tolist(), style="line",
        low=low.tolist() if known else [], high=high.tolist() if known else [],
    )  # fmt: skip


def _grid(fit: SurvivalRegressor, first: float | None = None) -> Array:
    end = float(fit._outcome.time.max())
    return np.linspace(end / _POINTS if first is None else first, end, _POINTS)


def _staircase(times: Array, height: Array, end: float) -> tuple[list[float], list[float]]:
    keep = _thin(len(times))
    times, height = times[keep], height[keep]
    x = np.repeat(np.concatenate([[0.0], times, [end]]), 2)[1:-1]
    y = np.repeat(np.concatenate([[1.0], height]), 2)
    return x.tolist(), y.tolist()


def _thin(count: int) -> Array:
    return np.unique(np.linspace(0, count - 1, min(count, _STEPS)).astype(int))


def _time(fit: SurvivalRegressor) -> Axis:
    return Axis(label="time", unit=fit.time_unit)
