"""Where no layout fits: what lacks least, and the nearest thing that would fit."""

from __future__ import annotations

import pandas as pd

from parsimony.core import units
from parsimony.core.errors import BudgetError, InputError
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.layouts import KNOBS, Space, near_misses, plan
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training

DOUBLINGS = 12
"""How often the devices are doubled in the search for enough of them."""


def describe(layout: pd.Series) -> str:
    """A layout as ``Space.parse`` reads it."""
    return ",".join(f"{knob}={layout[knob]}" for knob in KNOBS)


def refusal(
    table: pd.DataFrame, shape: ModelShape, cluster: Cluster, training: Training, space: Space
) -> BudgetError:
    """The error that says why nothing fits, and what would.

    Args:
        table: a plan in which no layout works.
        shape, cluster, training, space: what it was made for.

    Raises:
        InputError: no layout even has the right form, so that no memory would help.
    """
    closest = near_misses(table, 1)
    if closest.empty:
        raise InputError(
            f"no layout of {cluster.devices} devices keeps to the rules; most often: "
            f"{table.loc[table['chunks'] == table['chunks'].min(), 'reason'].mode()[0]}"
        )
    (least,) = closest.to_dict("records")
    return BudgetError(
        f"nothing fits {cluster}; what lacks least is {describe(closest.iloc[0])}: "
        f"{least['reason']}",
        nearest=_nearest(shape, cluster, training, space, least["memory"]),
    )


def _nearest(
    shape: ModelShape, cluster: Cluster, training: Training, space: Space, memory: float
) -> str:
    """The free choice of knobs, then more devices, then more memory."""
    free = plan(shape, cluster, training)
    if space != Space() and free["reason"].iloc[0] == "":
        return describe(free.iloc[0])
    for times in (2**n for n in range(1, DOUBLINGS + 1)):
        try:
            more = plan(shape, cluster.of(cluster.devices * times), training, space)
        except InputError:  # what is fixed needs exactly these devices
            break
        if (more["reason"] == "").any():
            return f"{cluster.devices * times} devices of {cluster.name}"
    need = memory / (1 - cluster.reserve)
    return f"{units.format_bytes(need)} ({need / 1e9:.4g} GB) of memory a device"
