"""The page of Kaplan's constants: the critical batch size over the loss, and every constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.pages import Axis, Column, Page, Plot, Section, Series, Table
from parsimony.core.units import format_share
from parsimony.plan.laws.kaplan.procedure import Steps

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 60


def page(found: Steps, told: pd.DataFrame | None, file: str) -> Page:
    """What ``plan curves`` found.

    Args:
        found: the constants.
        told: losses that were asked for, with N, S, B, value, low and high.
        file: name of the table of curves.
    """
    names = ("value", "low", "high")
    report = found.report()[list(names)]
    sections = [
        Section(title="Critical batch size", figures=[_critical(found)]),
        Section(
            title="Constants",
            text=f"95 % intervals, of {len(found.draws)} resamples of the runs.",
            table=Table(
                columns=[Column(name="constant"), *(Column(name=n, unit="") for n in names)],
                rows=[[str(name), *map(float, row)] for name, *row in report.itertuples()],
            ),
        ),
    ]
    if told is not None:
        columns = {"N": "count", "S": "count", "B": "count", "value": "", "low": "", "high": ""}
        sections.append(
            Section(
                title="Losses",
                text="Of N parameters after S steps of B tokens.",
                table=Table(
                    columns=[Column(name=name, unit=unit) for name, unit in columns.items()],
                    rows=told[list(columns)].astype(float).to_numpy().tolist(),
                ),
            )
        )
    return Page(
        command="plan curves",
        title=f"Kaplan's constants, from the training curves of {file}",
        summary=f"The constants tell the loss along these curves within "
        f"{format_share(found.error)}.",
        sections=sections,
    )


def _critical(found: Steps) -> Plot:
    seen = found.batches
    losses = np.geomspace(seen["loss"].min(), seen["loss"].max(), _POINTS)
    drawn = [draw.critical_batch(losses) for draw in found.draws]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Plot(
        title="Critical batch size over the loss",
        note="Each point is one loss of the ladder, fitted by itself.",
        x=Axis(label="loss, nats per token", log=True),
        y=Axis(label="tokens of a step", unit="count", log=True),
        series=[
            Series(name="law, with its 95 % band", x=losses.tolist(),
                   y=found.constants.critical_batch(losses).tolist(), low=low.tolist(),
                   high=high.tolist(), style="line"),
            Series(name="ladder", x=seen["loss"].tolist(), y=seen["B_crit"].tolist()),
        ],
    )  # fmt: skip
