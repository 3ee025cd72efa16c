"""The page of a calibration: what the curve can tell, the posterior, and how it meets the data."""

from __future__ import annotations

import numpy as np

from parsimony.core.pages import (
    Axis,
    Column,
    Contours,
    Estimate,
    Intervals,
    Page,
    Plot,
    Section,
    Series,
    Table,
)
from parsimony.estimate.battery.calibration import solver_curves
from parsimony.estimate.battery.estimator import BatteryCalibrator
from parsimony.estimate.battery.identifiability import MEANING, NAMES

_GRID = 25
_WITHIN = 5.99  # 95 % of chi-squared with two degrees of freedom
_LEVELS = (2.30, _WITHIN, 11.83)
_SECONDS = Axis(label="time", unit="seconds")
_MILLIVOLTS = "mV"


def page(found: BatteryCalibrator, *, file: str = "the data") -> Page:
    """What ``estimate battery`` found.

    Args:
        found: after ``fit``.
        file: name of the data.
    """
    summary = found.summary_
    words = ", ".join(
        f"{name} = {row.estimate:.3g} ({row.low:.3g} to {row.high:.3g})"
        for name, row in summary.iterrows()
    )
    sections = [_told(found), _posterior(found), _data(found)]
    if found.surrogate_error_ is not None:
        sections.append(_surrogate(found))
    return Page(
        command="estimate battery",
        title=f"Two parameters of the cell from {len(found.times_)} voltages of {file}",
        summary=f"{words}, with {100 * found.level:g} % intervals.",
        sections=sections,
        notes=list(found.diagnosis_),
    )


def _told(found: BatteryCalibrator) -> Section:
    told = found.identifiability_
    times = found.times_.tolist()
    curves = [
        Series(name=f"{name} by 1 %", x=times, y=(10 * at * told.sensitivity[:, i]).tolist(),
               style="line")
        for i, (name, at) in enumerate(zip(NAMES, told.at, strict=True))
    ]  # fmt: skip
    columns = [
        Column(name="parameter"), Column(name="what it multiplies"), Column(name="near", unit=""),
        Column(name="moves V over the box by, mV", unit=""), Column(name="standard error", unit=""),
        Column(name="1/k: of the prior's", unit="share"), Column(name="the curve"),
    ]  # fmt: skip
    rows: list[list[str | float | None]] = [
        [str(name), MEANING[str(name)], at, 1e3 * swing, _finite(error), _finite(share), verdict]
        for name, at, _, swing, error, share, verdict in told.table().itertuples()
    ]
    return Section(
        title="What the curve can tell",
        text=f"From the Fisher information at noise of {1e3 * told.sigma:.2f} mV, before anything "
        f"was sampled. The two estimates have a correlation of {told.correlation:.2f}.",
        figures=[
            Plot(
                title="What a change of one per cent does to the voltage",
                x=_SECONDS,
                y=Axis(label="change", unit=_MILLIVOLTS),
                series=curves,
            )
        ],
        table=Table(columns=columns, rows=rows),
    )


def _posterior(found: BatteryCalibrator) -> Section:
    intervals = []
    for i, name in enumerate(NAMES):
        rows = [
            Estimate(
                name=one.sampler, value=float(one.mean[i]),
                low=float(one.interval(found.level)[i, 0]),
                high=float(one.interval(found.level)[i, 1]),
            )
            for one in (found.posterior_, found.check_)
            if one is not None
        ]  # fmt: skip
        low, high = float(found.box_.low[i]), float(found.box_.high[i])
        middle = (low + high) / 2
        rows.append(Estimate(name="prior", value=middle, low=low, high=high))
        title = f"{name}, {MEANING[name]}"
        intervals.append(Intervals(title=title, x=Axis(label=name), rows=rows))
    columns = [Column(name="parameter")] + [
        Column(name=name, unit="") for name in ("mean", "sd", "low", "high", "r-hat", "ess")
    ]
    rows_: list[list[str | float | None]] = [
        [str(name), *map(float, row[:6])] for name, *row in found.summary_.itertuples()
    ]
    return Section(
        title="The posterior",
        text=f"{found.posterior_.sampler}, {found.posterior_.draws.shape[0]} chains, "
        f"{len(found.posterior_.flat)} draws.",
        figures=[*intervals, _contours(found)],
        table=Table(columns=columns, rows=rows_),
    )


def _contours(found: BatteryCalibrator) -> Contours:
    """-2 log likelihood of the solver above its least, over where the draws are."""
    flat = found.posterior_.flat
    low, high = np.quantile(flat, [0.001, 0.999], axis=0)
    room = 0.15 * (high - low)
    low, high = np.maximum(low - room, found.box_.low), np.minimum(high + room, found.box_.high)
    xs, ys = (np.linspace(low[i], high[i], _GRID) for i in (0, 1))
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    curves = solver_curves(found.times_, found.cell_)(grid)
    misfit = (((curves - found.voltage_) / found.sigma_) ** 2).sum(axis=1)
    above = (misfit - misfit.min()).reshape(_GRID, _GRID)
    some = found.posterior_.thinned(150)
    mean = found.posterior_.mean
    return Contours(
        title="Both parameters",
        note="Lines: -2 log likelihood of the solver, 2.3, 6 and 11.8 above its least.",
        x=Axis(label="k1"),
        y=Axis(label="k2"),
        xs=xs.tolist(),
        ys=ys.tolist(),
        z=above.tolist(),
        levels=list(_LEVELS),
        region=("95 %", _WITHIN),
        series=[
            Series(name="draws", x=some[:, 0].tolist(), y=some[:, 1].tolist(), style="hollow"),
            Series(name="mean", x=[float(mean[0])], y=[float(mean[1])], style="ringed"),
        ],
    )


def _data(found: BatteryCalibrator) -> Section:
    times, voltage = found.times_, found.voltage_
    curves = solver_curves(times, found.cell_)
    mean, low, high = found.posterior_.band(curves, found.level, found.random_state)
    band = f"predicted, {100 * found.level:g} % of new points"
    outside = float(((voltage < low) | (voltage > high)).mean())
    at = times.tolist()
    return Section(
        title="The data",
        text=f"{100 * outside:.0f} % of the points lie outside the {100 * found.level:g} % band.",
        figures=[
            Plot(
                title="Voltage",
                x=_SECONDS,
                y=Axis(label="voltage", unit="V"),
                series=[
                    Series(name=band, x=at, y=mean.tolist(), low=low.tolist(), high=high.tolist(),
                           style="line"),
                    Series(name="measured", x=at, y=voltage.tolist()),
                ],
            ),
            Plot(
                title="Measured less predicted",
                x=_SECONDS,
                y=Axis(label="difference", unit=_MILLIVOLTS),
                series=[
                    Series(name=band, x=at, y=[0.0] * len(at), style="line",
                           low=(1e3 * (low - mean)).tolist(), high=(1e3 * (high - mean)).tolist()),
                    Series(name="measured", x=at, y=(1e3 * (voltage - mean)).tolist()),
                ],
            ),
        ],
    )  # fmt: skip


def _surrogate(found: BatteryCalibrator) -> Section:
    error = 1e3 * found.surrogate_error_
    size = np.abs(error)
    return Section(
        title="The surrogate",
        text=f"At the posterior mean it is off the solver by {size.mean():.2f} mV in the mean and "
        f"{size.max():.2f} mV at most"
        + (", which was taken off its curves." if found.anchored else "."),
        figures=[
            Plot(
                title="Surrogate less solver at the posterior mean",
                x=_SECONDS,
                y=Axis(label="difference", unit=_MILLIVOLTS),
                series=[
                    Series(name="surrogate", x=found.times_.tolist(), y=error.tolist(),
                           style="line")
                ],
            )
        ],
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
