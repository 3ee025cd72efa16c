"""The page of a calibration: what the curve can tell, the posterior, and how it meets the data."""

from __future__ import annotations

import numpy as np

from parsimony.core.pages import Column, Page, Section, Table
from parsimony.estimate.battery import plots
from parsimony.estimate.battery.estimator import BatteryCalibrator
from parsimony.estimate.battery.identifiability import MEANING


def page(found: BatteryCalibrator, *, file: str = "the data") -> Page:
    """What ``estimate battery`` found.

    Args:
        found: after ``fit``.
        file: name of the data.
    """
    words = ", ".join(
        f"{name} = {row.estimate:.3g} ({row.low:.3g} to {row.high:.3g})"
        for name, row in found.summary_.iterrows()
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
        figures=[plots.sensitivity(told, found.times_)],
        table=Table(columns=columns, rows=rows),
    )


def _posterior(found: BatteryCalibrator) -> Section:
    heads = ("mean", "sd", "low", "high", "r-hat", "ess")
    columns = [Column(name="parameter"), *(Column(name=name, unit="") for name in heads)]
    rows: list[list[str | float | None]] = [
        [str(name), *map(float, row[:6])] for name, *row in found.summary_.itertuples()
    ]
    posterior = found.posterior_
    return Section(
        title="The posterior",
        text=f"{posterior.sampler}, {len(posterior.draws)} chains, {len(posterior.flat)} draws.",
        figures=[plots.intervals(found, 0), plots.intervals(found, 1), plots.posterior(found)],
        table=Table(columns=columns, rows=rows),
    )


def _data(found: BatteryCalibrator) -> Section:
    residuals = plots.residuals(found)
    band, measured = residuals.series
    outside = np.mean(
        [not low <= y <= high for y, low, high in zip(measured.y, band.low, band.high, strict=True)]
    )
    return Section(
        title="The data",
        text=f"{100 * outside:.0f} % of the points lie outside the {100 * found.level:g} % band.",
        figures=[plots.voltage(found), residuals],
    )


def _surrogate(found: BatteryCalibrator) -> Section:
    size = 1e3 * np.abs(found.surrogate_error_)
    left = ""
    if found.error_left_ is not None:
        left = f" The curves that were sampled are {1e3 * found.error_left_:.3f} mV off in the mean"
        left += ", its error being taken off." if found.corrected else "."
    return Section(
        title="The surrogate",
        text=f"At the posterior mean it is off the solver by {size.mean():.2f} mV in the mean and "
        f"{size.max():.2f} mV at most.{left}",
        figures=[plots.surrogate_error(found)],
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
