"""The page of a pre-training plan: loss and rate along the run, and how sure rate and batch are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core import units
from parsimony.core.pages import Axis, Column, Contours, Page, Plot, Section, Series, Table

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"params": "count", "tokens": "count", "batch_tokens": "count", "memory_bytes": "bytes",
         "seconds": "seconds", "joules": "J"}  # fmt: skip
"""Of quantities that have a unit, for ``core.units.write``."""
_SURE = (0.5, 0.8, 0.95)
_POINTS = 60


def page(found: pd.DataFrame, curve: pd.DataFrame, notes: tuple[str, ...]) -> Page:
    """What ``plan pretrain`` found.

    Args:
        found: the table of ``plan_pretraining``.
        curve: tokens, loss, low, high and learning_rate along the run.
        notes: what the reader must know.
    """
    value = found["value"]
    size, tokens = (units.format_count(value[name]) for name in ("params", "tokens"))
    loss = found.loc["loss"]
    tokens_axis = Axis(label="tokens", unit="count")
    figures = [
        Plot(
            title="Loss of a run that ends there",
            x=tokens_axis,
            y=Axis(label="loss, nats per token"),
            series=[
                Series(name="expected, with its 95 % band", x=curve["tokens"].tolist(),
                       y=curve["loss"].tolist(), low=curve["low"].tolist(),
                       high=curve["high"].tolist(), style="line")
            ],
        )
    ]  # fmt: skip
    known = curve[curve["learning_rate"].notna()]
    if len(known):
        figures.append(
            Plot(
                title="Learning rate after warm-up",
                x=tokens_axis,
                y=Axis(label="learning rate"),
                series=[Series(name="rate", x=known["tokens"].tolist(),
                               y=known["learning_rate"].tolist(), style="line")],
            )
        )  # fmt: skip
    sections = [Section(title="Along the run", figures=figures)]
    if "learning_rate" in found.index and math.isfinite(found.loc["learning_rate", "low"]):
        sections.append(
            Section(
                title="Learning rate and batch size",
                text="How far the bootstrap of the published law leaves its optimum open. The loss "
                "is flat around it; 'plan fit --grid' shows that surface for runs of your own.",
                figures=[_confidence(found.loc["learning_rate"], found.loc["batch_tokens"])],
            )
        )
    sections.append(Section(title="The plan", text="95 % intervals.", table=_table(found)))
    return Page(
        command="plan pretrain",
        title=f"{size} parameters on {tokens} tokens",
        summary=f"{size} parameters on {tokens} tokens should reach a loss of {loss['value']:.3f} "
        f"({loss['low']:.3f} to {loss['high']:.3f}).",
        sections=sections,
        notes=list(notes),
    )


def _confidence(rate: pd.Series, batch: pd.Series) -> Contours:
    """Share of the bootstrap that lies nearer to the optimum than a setting does.

    The published bootstrap is normal in the logarithms, and its rate and batch are independent.
    """
    reach, spread = 1.3 * math.sqrt(-2 * math.log(1 - _SURE[-1])), []
    for row in (rate, batch):
        deviation = math.log(row["high"] / row["value"]) / 1.96
        spread.append(row["value"] * np.exp(deviation * np.linspace(-reach, reach, _POINTS)))
    u, v = np.meshgrid(*[np.linspace(-reach, reach, _POINTS)] * 2)
    return Contours(
        title="Where the optimum lies",
        note="Contours of confidence, of rate and batch size together.",
        x=Axis(label="peak learning rate", log=True),
        y=Axis(label="tokens of a step", unit="count", log=True),
        xs=spread[0].tolist(),
        ys=spread[1].tolist(),
        z=(1 - np.exp(-(u**2 + v**2) / 2)).tolist(),
        unit="share",
        levels=list(_SURE),
        region=("95% confidence", _SURE[-1]),
        series=[Series(name="Step Law", x=[rate["value"]], y=[batch["value"]], style="ringed")],
    )


def _table(found: pd.DataFrame) -> Table:
    return Table(
        columns=[Column(name=name) for name in ("quantity", "value", "low", "high", "law")],
        rows=[
            [str(name).replace("_", " "),
             *(units.write(v, UNITS.get(str(name), "")) if v == v else None for v in row[:3]),
             row[3]]
            for name, *row in found.itertuples()
        ],
    )  # fmt: skip
