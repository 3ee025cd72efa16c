"""The report page of ``estimate demand`` as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from parsimony.core.pages import (
    Axis,
    Column,
    Estimate,
    Intervals,
    Page,
    Plot,
    Section,
    Series,
    Table,
)
from parsimony.estimate.demand import evaluation, subsets

if TYPE_CHECKING:
    from parsimony.estimate.demand.estimator import DemandForecaster

_SHOWN = 4  # series drawn: the largest
_METRICS = ("mae", "rmse", "smape", "rrmse", "rrmse_pred", "mase", "wape", "pinball", "fairness")


def page(found: DemandForecaster, name: str) -> Page:
    """What a fitted estimator found.

    Args:
        found: the estimator.
        name: of the data.
    """
    scored = {
        subset: evaluation.wide(found.summary_, subset)
        for subset in found.summary_.index.unique("subset")
    }
    best = scored[subsets.ALL]
    row = best.loc[found.chosen_]
    return Page(
        command="estimate demand",
        title=f"Demand in {name}: {len(found.table_.values):,} series of "
        f"{len(found.table_.months)} months",
        summary=f"Chosen before the test: {found.chosen_}. On the test its MAE is "
        f"{row['mae']:.4g}, {-row['difference']:.4g} below that of the naive forecast "
        f"({row['verdict']}).",
        sections=[
            Section(
                title="Errors on the test",
                text="Mean absolute error with 95 % intervals over windows and skills.",
                figures=[errors(best), gaps(best)],
                table=_table(best),
            ),
            *(
                Section(title=f"Subset: {subset}", figures=[gaps(part)], table=_table(part))
                for subset, part in scored.items()
                if subset != subsets.ALL
            ),
            *([_groups(found)] if len(found.groups_) > 1 else []),
            _choice(found),
            _forecasts(found),
        ],
        notes=found.diagnosis_,
    )


def errors(scored: pd.DataFrame) -> Intervals:
    """MAE of each model with its interval; ``scored`` is of ``evaluation.wide``."""
    return Intervals(
        title="Mean absolute error",
        x=Axis(label="MAE"),
        rows=[
            Estimate(name=str(name), value=row["mae"], low=row["low"], high=row["high"])
            for name, row in scored.iterrows()
        ],
    )


def gaps(scored: pd.DataFrame) -> Intervals:
    """MAE of each model less that of the naive forecast, paired, with its interval."""
    return Intervals(
        title="Against the naive forecast, paired",
        note="An interval over zero: no difference found.",
        x=Axis(label="MAE less that of naive"),
        rows=[
            Estimate(name=str(name), value=row["difference"], low=row["difference_low"],
                     high=row["difference_high"])
            for name, row in scored.iterrows() if name != evaluation.REFERENCE
        ] or [Estimate(name=evaluation.REFERENCE, value=0.0)],
        reference=("no difference", 0.0),
    )  # fmt: skip


def _table(scored: pd.DataFrame) -> Table:
    metrics = [m for m in _METRICS if m in scored]
    return Table(
        columns=[
            Column(name="model"),
            *(Column(name=_head(m), unit="") for m in metrics),
            Column(name="against naive"),
        ],
        rows=[
            [str(name), *(None if np.isnan(row[m]) else float(row[m]) for m in metrics),
             row["verdict"]]
            for name, row in scored.iterrows()
        ],
    )  # fmt: skip


def _groups(found: DemandForecaster) -> Section:
    metrics = [m for m in _METRICS if m in found.groups_]
    return Section(
        title="By group",
        text=f"The test errors of {found.chosen_}.",
        table=Table(
            columns=[Column(name="group"), *(Column(name=_head(m), unit="") for m in metrics)],
            rows=[
                [str(name), *(None if pd.isna(row[m]) else float(row[m]) for m in metrics)]
                for name, row in found.groups_.iterrows()
            ],
        ),
    )


def _head(metric: str) -> str:
    return metric if metric in ("fairness", "rrmse_pred") else metric.upper()


def _choice(found: DemandForecaster) -> Section:
    errors, weights = found.selection_.errors, found.selection_.weights
    return Section(
        title="The choice",
        text="By origins before the test, in each kind of series: MAE, and the weight in the "
        "ensemble.",
        table=Table(
            columns=[
                Column(name="model"),
                *(Column(name=f"{cell}: {what}", unit="")
                  for cell in errors for what in ("MAE", "weight")),
            ],
            rows=[
                [str(name), *(float(part.loc[name, cell]) for cell in errors
                              for part in (errors, weights))]
                for name in errors.index
            ],
        ),
    )  # fmt: skip


def forecast(found: DemandForecaster, place: int) -> Plot:
    """One series, and the months after it with their interval.

    Args:
        found: the estimator.
        place: of the series in its table.
    """
    months = len(found.table_.months)
    told = found.predict()
    low, high = (c for c in told.columns if "-lo-" in c or "-hi-" in c)
    rows = told.iloc[place * found.horizon : (place + 1) * found.horizon]
    return Plot(
        title=str(found.table_.ids[place]),
        x=Axis(label=f"month, 1 is {found.table_.months[0]}"),
        y=Axis(label="demand"),
        series=[
            Series(name="observed", x=[float(m) for m in range(1, months + 1)],
                   y=found.table_.values[place].tolist(), style="line"),
            Series(name=f"forecast, {found.level:.0%}",
                   x=[float(months + 1 + step) for step in range(found.horizon)],
                   y=rows["forecast"].tolist(), low=rows[low].tolist(),
                   high=rows[high].tolist(), style="ringed"),
        ],
    )  # fmt: skip


def _forecasts(found: DemandForecaster) -> Section:
    largest = np.argsort(-found.table_.values[:, -1], kind="stable")[:_SHOWN]
    return Section(
        title="The next months",
        text=f"The {len(largest)} series with the most demand in the last month.",
        figures=[forecast(found, int(place)) for place in largest],
    )
