"""The page of a training that prunes: density and active parameters over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsimony.core import units
from parsimony.core.pages import Axis, Column, Page, Plot, Section, Series, Table
from parsimony.plan.sparse_pretraining import SparsePlan

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 120


def page(found: SparsePlan, swept: pd.DataFrame | None, notes: list[str]) -> Page:
    """What ``plan sparse`` found.

    Args:
        found: the plan.
        swept: other schedules of its size and compute, where they were asked for.
        notes: what the reader must know.
    """
    schedule, value = found.schedule, found.table["value"]
    steps = sorted({round(i * schedule.total / _POINTS) for i in range(_POINTS + 1)})
    density = [schedule.density(step) for step in steps]
    before, after = value["params_before"], value["params_after"]
    prunable = (before - after) / schedule.sparsity if schedule.sparsity else 0.0
    marks = [schedule.start, schedule.end]
    active = [before - prunable * (1 - share) for share in density]
    dense = value["equal_dense_params"]
    x = Axis(label="step", unit="count")
    figures = [
        Plot(
            title="Density of the prunable weights",
            x=x,
            y=Axis(label="share that is left", unit="share"),
            series=[
                Series(name="density", x=steps, y=density, style="line"),
                Series(name="first and last pruning", x=marks,
                       y=[schedule.density(step) for step in marks], style="ringed"),
            ],
        ),
        Plot(
            title="Active parameters",
            x=x,
            y=Axis(label="parameters", unit="count"),
            series=[
                Series(name="active", x=steps, y=active, style="line"),
                Series(name="their average, and the dense model of equal loss",
                       x=[0, schedule.total], y=[dense, dense], style="dashed"),
            ],
        ),
    ]  # fmt: skip
    sections = [
        Section(
            title="The schedule",
            text=f"{schedule.prunings} prunings, every {schedule.every} steps.",
            figures=figures,
        )
    ]
    if swept is not None:
        sections.append(_sweep(swept))
    sections.append(Section(title="The plan", table=_table(found.table)))
    count = units.format_count
    return Page(
        command="plan sparse",
        title=f"Pruning {schedule.sparsity:.0%} while training on {count(value['tokens'])} tokens",
        summary=f"From {count(before)} to {count(after)} parameters, {count(dense)} on average: a "
        f"loss of {value['loss']:.3f} ({value['loss_low']:.3f} to {value['loss_high']:.3f}), "
        f"served {value['inference_saving']:.3g} times cheaper than the dense model of that loss.",
        sections=sections,
        notes=notes,
    )


def _sweep(swept: pd.DataFrame) -> Section:
    return Section(
        title="Other schedules of the same size and compute",
        figures=[
            Plot(
                title="Predicted loss against what is left",
                x=Axis(label="parameters after pruning", unit="count", log=True),
                y=Axis(label="loss, nats per token"),
                series=[
                    Series(name=f"sparsity {share:.0%}", x=rows["params_after"].tolist(),
                           y=rows["loss"].tolist())
                    for share, rows in swept.groupby("sparsity")
                ],
            )
        ],
        table=Table(
            columns=[Column(name="sparsity", unit="share"), Column(name="start", unit="share"),
                     Column(name="end", unit="share"), Column(name="N average", unit="count"),
                     Column(name="N after", unit="count"), Column(name="tokens", unit="count"),
                     Column(name="loss", unit="")],
            rows=swept[["sparsity", "start", "end", "params_average", "params_after", "tokens",
                        "loss"]].to_numpy().tolist(),
        ),
    )  # fmt: skip


def _table(table: pd.DataFrame) -> Table:
    return Table(
        columns=[Column(name=name) for name in ("quantity", "value", "from")],
        rows=[
            [str(name).replace("_", " "),
             units.write(value, "" if abs(value) < 1e4 else "count"), source]
            for name, value, source in table.itertuples()
        ],
    )  # fmt: skip
