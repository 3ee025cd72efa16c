"""The figures of a calibration, as data of ``core.pages``."""

from __future__ import annotations

import numpy as np

from parsimony.core.pages import Axis, Contours, Estimate, Intervals, Plot, Series
from parsimony.estimate.battery.calibration import solver_curves
from parsimony.estimate.battery.estimator import BatteryCalibrator
from parsimony.estimate.battery.identifiability import MEANING, NAMES, Identifiability

WITHIN = 5.99
"""95 % of chi-squared with two degrees of freedom."""
_LEVELS = (2.30, WITHIN, 11.83)  # 68, 95, 99.7 %
_GRID = 25
_DRAWS = 150
_SECONDS = Axis(label="time", unit="seconds")
_MILLIVOLTS = "mV"


def sensitivity(told: Identifiability, times: np.ndarray) -> Plot:
    """What one per cent of a parameter does to the voltage.

    Args:
        told: what a curve can tell.
        times: (n,) seconds it was told for.
    """
    series = [
        Series(name=f"{name} by 1 %", x=times.tolist(), style="line",
               y=(10 * at * told.sensitivity[:, i]).tolist())
        for i, (name, at) in enumerate(zip(NAMES, told.at, strict=True))
    ]  # fmt: skip
    return Plot(
        title="What a change of one per cent does to the voltage",
        x=_SECONDS,
        y=Axis(label="change", unit=_MILLIVOLTS),
        series=series,
    )


def intervals(found: BatteryCalibrator, parameter: int) -> Intervals:
    """The interval of a parameter by each sampler, and the prior.

    Args:
        found: after ``fit``.
        parameter: 0 for k1, 1 for k2.
    """
    rows = []
    for one in (found.posterior_, found.check_):
        if one is not None:
            low, high = map(float, one.interval(found.level)[parameter])
            mean = float(one.mean[parameter])
            rows.append(Estimate(name=one.sampler, value=mean, low=low, high=high))
    low, high = float(found.box_.low[parameter]), float(found.box_.high[parameter])
    rows.append(Estimate(name="prior", value=(low + high) / 2, low=low, high=high))
    name = NAMES[parameter]
    return Intervals(title=f"{name}, {MEANING[name]}", x=Axis(label=name), rows=rows)


def posterior(found: BatteryCalibrator) -> Contours:
    """Draws, over -2 log likelihood of the solver above its least, where the draws are.

    Args:
        found: after ``fit``.
    """
    flat = found.posterior_.flat
    low, high = np.quantile(flat, [0.001, 0.999], axis=0)
    room = 0.15 * (high - low)
    low, high = np.maximum(low - room, found.box_.low), np.minimum(high + room, found.box_.high)
    xs, ys = (np.linspace(low[i], high[i], _GRID) for i in (0, 1))
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    curves = solver_curves(found.times_, found.cell_)(grid)
    misfit = (((curves - found.voltage_) / found.sigma_) ** 2).sum(axis=1)
    above = (misfit - misfit.min()).reshape(_GRID, _GRID)
    some, mean = found.posterior_.thinned(_DRAWS), found.posterior_.mean
    return Contours(
        title="Both parameters",
        note="Lines: -2 log likelihood of the solver, 2.3, 6 and 11.8 above its least.",
        x=Axis(label="k1"),
        y=Axis(label="k2"),
        xs=xs.tolist(),
        ys=ys.tolist(),
        z=above.tolist(),
        levels=list(_LEVELS),
        region=("95 %", WITHIN),
        series=[
            Series(name="draws", x=some[:, 0].tolist(), y=some[:, 1].tolist(), style="hollow"),
            Series(name="mean", x=[float(mean[0])], y=[float(mean[1])], style="ringed"),
        ],
    )


def voltage(found: BatteryCalibrator) -> Plot:
    """The data, and the band in which new ones should lie.

    Args:
        found: after ``fit``.
    """
    return _against(found, "Voltage", Axis(label="voltage", unit="V"), 1.0, of_mean=False)


def residuals(found: BatteryCalibrator) -> Plot:
    """The data less the predicted mean, and the band around it.

    Args:
        found: after ``fit``.
    """
    axis = Axis(label="difference", unit=_MILLIVOLTS)
    return _against(found, "Measured less predicted", axis, 1e3, of_mean=True)


def surrogate_error(found: BatteryCalibrator) -> Plot:
    """Surrogate less solver at the posterior mean.

    Args:
        found: after ``fit`` with a surrogate.
    """
    error = (1e3 * found.surrogate_error_).tolist()
    return Plot(
        title="Surrogate less solver at the posterior mean",
        x=_SECONDS,
        y=Axis(label="difference", unit=_MILLIVOLTS),
        series=[Series(name="surrogate", x=found.times_.tolist(), y=error, style="line")],
    )


def _against(found: BatteryCalibrator, title: str, axis: Axis, scale: float, of_mean: bool) -> Plot:
    curves = solver_curves(found.times_, found.cell_)
    band = found.posterior_.band(curves, found.level, found.random_state)
    mean, low, high, measured = (
        scale * (value - (band[0] if of_mean else 0.0)) for value in (*band, found.voltage_)
    )
    at = found.times_.tolist()
    name = f"predicted, {100 * found.level:g} % of new points"
    return Plot(
        title=title,
        x=_SECONDS,
        y=axis,
        series=[
            Series(name=name, x=at, y=mean.tolist(), low=low.tolist(), high=high.tolist(),
                   style="line"),
            Series(name="measured", x=at, y=measured.tolist()),
        ],
    )  # fmt: skip
