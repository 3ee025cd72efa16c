"""Demand forecasts beside statsforecast and neuralforecast, for ``estimate.py``: rows of ratios.

* a full table of 32,690 series with every metric, ours over statsforecast's own classes from its
  long frame, scored by the same metrics: naive and SES at the 4 origins of the test, where one
  matrix operation replaces statsforecast's loop; and naive, SES and Theta at one origin, where
  Theta is statsforecast's in both, so that its share of the time cannot shrink;
* every metric of one model, over the time in which statsforecast makes its naive forecasts;
* NLinear at the same windows and steps, ours over neuralforecast's.

Processor time, one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["NIXTLA_ID_AS_COL"] = "1"

import numpy as np
from _rows import FEWEST, Row, spent

from parsimony.core.errors import ParsimonyError
from parsimony.core.quiet import hush
from parsimony.estimate.demand import metrics
from parsimony.estimate.demand.forecaster import forecasters, rolling
from parsimony.estimate.demand.generate import generate
from parsimony.estimate.demand.models.nlinear import NLinear
from parsimony.estimate.demand.protocol import Protocol
from parsimony.estimate.demand.table import DemandTable, from_frame

PROTOCOL = Protocol()
ORIGINS = PROTOCOL.origins("test")
STEPS, WINDOWS = 200, 512


def ours(table: DemandTable, names: list[str], origins: tuple[int, ...] = ORIGINS) -> list[float]:
    """Forecast the test and score it; the MAE of each."""
    actual = PROTOCOL.targets(table.values, origins)
    scale = metrics.steps(table.values[:, : PROTOCOL.train])
    told = []
    for name in names:
        found = rolling(forecasters()[name](), table.values, origins, PROTOCOL.horizon)
        told.append(metrics.score(actual, found, scale)["mae"])
    return told


def theirs(table: DemandTable, names: list[str], origins: tuple[int, ...] = ORIGINS) -> list[float]:
    """The same by statsforecast, from its long frame."""
    from statsforecast import StatsForecast
    from statsforecast import models as peers

    made = {
        "naive": peers.Naive(), "ses": peers.SimpleExponentialSmoothing(0.5),
        "theta": peers.Theta(season_length=1),
    }  # fmt: skip
    actual = PROTOCOL.targets(table.values, origins)
    scale = metrics.steps(table.values[:, : PROTOCOL.train])
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for origin in origins:
        known = table.with_values(table.months[:origin], table.values[:, :origin]).to_long()
        told = StatsForecast(models=[made[n] for n in names], freq="MS").forecast(
            df=known, h=PROTOCOL.horizon
        )
        columns = [c for c in told.columns if c not in ("unique_id", "ds")]
        for name, column in zip(names, columns, strict=True):
            found[name].append(told[column].to_numpy().reshape(-1, PROTOCOL.horizon))
    return [metrics.score(actual, np.stack(parts, 1), scale)["mae"] for parts in found.values()]


def by_id(table: DemandTable) -> DemandTable:
    """In the order of statsforecast's answers."""
    return from_frame(table.to_wide().iloc[np.argsort(table.ids)])


def our_network(values: np.ndarray) -> Callable[[], Any]:
    """``STEPS`` steps of ``WINDOWS`` windows each."""
    model = NLinear(epochs=1, rows=STEPS * WINDOWS, batch=WINDOWS)
    return lambda: model.fit(values[:, : PROTOCOL.known])


def their_network(table: DemandTable) -> Callable[[], Any]:
    """The same by neuralforecast, which also makes its own batches of series."""
    import logging

    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import NLinear as Peer

    for name in ("pytorch_lightning", "lightning_fabric", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    known = table.with_values(
        table.months[: PROTOCOL.known], table.values[:, : PROTOCOL.known]
    ).to_long()

    def run() -> None:
        model = Peer(
            h=PROTOCOL.horizon, input_size=PROTOCOL.context, loss=MSE(), max_steps=STEPS,
            learning_rate=3e-3, batch_size=64, windows_batch_size=WINDOWS, scaler_type="standard",
            accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, logger=False,
            enable_checkpointing=False,
        )  # fmt: skip
        NeuralForecast(models=[model], freq="MS").fit(known, val_size=PROTOCOL.validation)

    return run


def turns(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[float, ...]:
    """Time of the first over that of the second, in turns."""
    return tuple(spent(first) / spent(second) for _ in range(FEWEST))


def rows(quick: bool = False) -> list[Row]:
    """What was measured.

    Args:
        quick: on 700 series, to see that it runs.
    """
    hush()
    table = by_id(generate(100, 7).table if quick else generate(2335, 14).table)
    series = f"{len(table.values):,} series"
    last = ORIGINS[-1:]
    actual = PROTOCOL.targets(table.values, ORIGINS)
    naive = rolling(forecasters()["naive"](), table.values, ORIGINS, PROTOCOL.horizon)
    scale = metrics.steps(table.values[:, : PROTOCOL.train])
    small = by_id(
        generate(30, 7).table
    )  # numba compiles, and libraries are loaded, before the clock runs
    scores = [run(small, ["naive", "ses", "theta"]) for run in (ours, theirs)]
    if not np.allclose(*scores):
        raise ParsimonyError("both must make the same forecasts", got=scores)
    found = [
        Row(f"naive and SES at 4 origins, scored, {series}: ours over statsforecast", "ratio",
            turns(lambda: ours(table, ["naive", "ses"]), lambda: theirs(table, ["naive", "ses"]))),
        Row(f"naive, SES, Theta at one origin, scored, {series}: ours over statsforecast", "ratio",
            turns(lambda: ours(table, ["naive", "ses", "theta"], last),
                  lambda: theirs(table, ["naive", "ses", "theta"], last))),
        Row(f"every metric of one model, {series}: over statsforecast's naive at 4 origins",
            "ratio", turns(lambda: metrics.score(actual, naive, scale),
                           lambda: theirs(table, ["naive"]))),
    ]  # fmt: skip
    small = generate(100 if quick else 335, 7).table
    mine, peer = our_network(small.values), their_network(small)
    mine(), peer()
    found.append(
        Row(f"NLinear, {STEPS} steps of {WINDOWS} windows: ours over neuralforecast", "ratio",
            turns(mine, peer))
    )  # fmt: skip
    return found


if __name__ == "__main__":
    import sys

    from _rows import show

    show(rows("--quick" in sys.argv), "--json" in sys.argv)
