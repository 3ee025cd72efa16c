"""The page of a fit: predicted against observed, residuals, and the law with its band."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.errors import require
from parsimony.core.fitting import Fit
from parsimony.core.fitting.columns import TABLE, positive
from parsimony.core.fitting.engine import largest
from parsimony.core.pages import Axis, Column, Contours, Page, Plot, Section, Series, Table
from parsimony.core.units import format_count, format_number, format_share
from parsimony.plan.laws.step_law.grid import KEEP, Surface

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 60
_BEYOND = 10.0  # times the greatest value that a curve goes on
_CELLS = 4


def page(
    found: Fit, runs: pd.DataFrame, cells: dict[str, Surface] | None = None, *, file: str = TABLE
) -> Page:
    """What ``plan fit`` found.

    Args:
        found: the fit.
        runs: the table that it was fitted to.
        cells: surfaces of a grid's cells by name, of which the first few are drawn.
        file: name of the table.
    """
    law, column = found.law, found.law.columns[0]
    prepared, _ = law.prepare(runs, file)
    x = positive(prepared, law.columns, file)
    observed = positive(prepared, [law.target], file)[law.target]
    apart = largest(law, x) & bool(len(found.held_out_residuals))
    inside = np.exp(found.residuals)
    outside = np.exp(found.held_out_residuals)
    summary = (
        f"{law.name} predicts the {law.target} of these runs within {format_share(found.error)}"
    )
    if found.held_out is not None:
        summary += (
            f", and of the largest {column} within {format_share(found.held_out)} when it has "
        )
        summary += "not seen them"
    held_out = f"largest {column}, not fitted to"
    ends = [float(observed.min()), float(observed.max())]
    agreement = Plot(
        title="Predicted against observed",
        note=f"Rings: predicted by a fit to the smaller {column}.",
        x=Axis(label=f"observed {law.target}", log=True),
        y=Axis(label=f"predicted {law.target}", log=True),
        series=_some(
            Series(name="equal", x=ends, y=ends, style="dashed"),
            Series(name="runs", x=observed.tolist(), y=(observed * inside).tolist()),
            Series(name=held_out, x=observed[apart].tolist(),
                   y=(observed[apart] * outside).tolist(), style="ringed"),
        ),
    )  # fmt: skip
    sizes = x[column]
    residuals = Plot(
        title="Residuals",
        note="Predicted over observed, less 1.",
        x=_axis(column),
        y=Axis(label="error of the prediction", unit="share"),
        series=_some(
            Series(name="none", x=[float(sizes.min()), float(sizes.max())], y=[0, 0],
                   style="dashed"),
            Series(name="runs", x=sizes.tolist(), y=(inside - 1).tolist()),
            Series(name=held_out, x=sizes[apart].tolist(), y=(outside - 1).tolist(),
                   style="ringed"),
        ),
    )  # fmt: skip
    sections = [Section(title="Errors", figures=[agreement, residuals])]
    if found.separable:  # else a curve over one column alone would lie where nothing is known
        sections.append(
            Section(
                title="The law",
                text="Each run is moved along the law to the median of the other columns; its "
                "distance to the curve is its own. The band should hold 95 % of new runs.",
                figures=[_curve(found, x, name, apart) for name in law.columns],
            )
        )
    if cells:
        sections.append(
            Section(
                title="Cells of the grid",
                text="A quadratic surface of the loss, fitted around the best run of a cell.",
                figures=[_cell(name, surface) for name, surface in list(cells.items())[:_CELLS]],
            )
        )
    if found.separable:
        sections.append(_constants(found))
    return Page(
        command="plan fit",
        title=f"{law.formula}, fitted to {found.runs} runs of {file}",
        summary=summary + ".",
        sections=sections,
        notes=list(found.notes),
    )


def _curve(found: Fit, x: dict[str, np.ndarray], name: str, apart: np.ndarray) -> Plot:
    """The law over one column, at the medians of the others, and the runs moved there."""
    pd = require("pandas", "plan")
    law = found.law
    others = {n: float(np.median(values)) for n, values in x.items() if n != name}
    reach = min(_BEYOND, law.reach.get(name, math.inf))
    grid = np.geomspace(x[name].min(), x[name].max() * reach, _POINTS)
    told = found.predict(pd.DataFrame({**others, name: grid})[list(law.columns)], beyond=True)
    at = {**{n: np.full(len(x[name]), v) for n, v in others.items()}, name: x[name]}
    moved = np.exp(law.evaluate(found.theta, at)[0] - found.residuals)
    write = {n: format_count if v >= 1e4 else format_number for n, v in others.items()}
    where = ", ".join(f"{n} = {write[n](v)}" for n, v in others.items())
    return Plot(
        title=f"{law.target} over {name}" + (f" at {where}" if where else ""),
        x=_axis(name),
        y=Axis(label=law.target, log=True),
        series=_some(
            Series(name="law, with its 95 % band", x=grid.tolist(), y=told["value"].tolist(),
                   low=told["low"].tolist(), high=told["high"].tolist(), style="line"),
            Series(name="runs", x=x[name][~apart].tolist(), y=moved[~apart].tolist()),
            Series(name=f"largest {law.columns[0]}", x=x[name][apart].tolist(),
                   y=moved[apart].tolist(), style="ringed"),
        ),
    )  # fmt: skip


def _cell(name: str, surface: Surface) -> Contours:
    """The quadratic surface of a cell, three times as wide as its region of tolerance."""
    (low_rate, high_rate), (low_batch, high_batch) = surface.span(9 * KEEP)
    rates = np.geomspace(low_rate, high_rate, _POINTS)
    batches = np.geomspace(low_batch, high_batch, _POINTS)
    u, v = np.meshgrid(np.log(rates / surface.lr), np.log(batches / surface.B))
    (a, b), (_, c) = surface.hessian
    above = 0.5 * (a * u**2 + 2 * b * u * v + c * v**2) / surface.loss
    return Contours(
        title=name,
        note=f"Loss above the least of the surface, {surface.loss:.4f}.",
        x=Axis(label="peak learning rate", log=True),
        y=Axis(label="tokens of a step", unit="count", log=True),
        xs=rates.tolist(),
        ys=batches.tolist(),
        z=above.tolist(),
        unit="share",
        levels=[KEEP, 4 * KEEP, 9 * KEEP],
        region=(f"within {format_share(KEEP)} of the least loss", KEEP),
        series=[Series(name="least", x=[surface.lr], y=[surface.B], style="ringed")],
    )


def _constants(found: Fit) -> Section:
    names = ("value", "low", "high", "standard_error")
    rows = [[str(name), *map(float, row)] for name, *row in found.report().itertuples()]
    return Section(
        title="Constants",
        text=f"95 % intervals, of {len(found.draws)} resamples of the runs.",
        table=Table(
            columns=[
                Column(name="constant"),
                *(Column(name=n.replace("_", " "), unit="") for n in names),
            ],
            rows=rows,
        ),
    )


def _axis(column: str) -> Axis:
    return Axis(label=column, unit="" if column in ("lr",) else "count", log=True)


def _some(*series: Series) -> list[Series]:
    """Those that have a point."""
    return [one for one in series if one.x]
