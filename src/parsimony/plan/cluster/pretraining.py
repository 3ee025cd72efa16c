"""What a pre-training costs on a cluster: its fastest layout, memory, time and energy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from parsimony.core.errors import InputError
from parsimony.plan.cluster import layouts, nearest
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training

HEAD = 64
"""Width of a head, GPT-2's."""
ASPECTS = (64, 128)
"""Width over depth: GPT-3's models (Brown et al. 2020, arXiv 2005.14165, table 2.1) lie between,
but for the one of 350M, which is deeper."""
TOLERANCE = 0.1
"""Largest relative difference to the parameters asked for; time grows about in proportion."""


@dataclass(frozen=True)
class Cost:
    """What the plan of a run says.

    Attributes:
        shape: the GPT that stands for the model.
        layout: the fastest one, as ``nearest.describe`` writes it.
        sequences: of a step.
        memory: bytes of the heaviest device.
        seconds: of the whole run.
        joules: upper bound of all devices; ``None`` where the hardware names no power.
    """

    shape: ModelShape
    layout: str
    sequences: int
    memory: float
    seconds: float
    joules: float | None


def gpt_of(params: float, sequence: int) -> ModelShape:
    """The GPT nearest to a number of parameters, of a depth and width in use.

    Args:
        params: all of them.
        sequence: rows of its position table.

    Raises:
        InputError: too few for a vocabulary of 51,200.
    """
    shapes = [
        ModelShape(layers, hidden, hidden // HEAD, positions=sequence)
        for hidden in range(2 * HEAD, 32_769, 2 * HEAD)  # an even number of heads
        for layers in range(math.ceil(hidden / ASPECTS[1]), hidden // ASPECTS[0] + 1)
    ]
    best = min(shapes, key=lambda shape: abs(math.log(shape.parameters / params)))
    if abs(best.parameters / params - 1) > TOLERANCE:
        raise InputError(
            "no GPT of a usual shape has about this many parameters", got=f"{params:.4g}",
            hint=f"The nearest has {best.parameters:.4g}; 'plan cluster' takes any shape",
        )  # fmt: skip
    return best


def cost(
    params: float, tokens: float, batch_tokens: float, sequence: int, cluster: Cluster
) -> Cost:
    """Plan a run on all devices of a cluster.

    Args:
        params: all parameters.
        tokens: of the run.
        batch_tokens: of a step; the nearest power of two of sequences is planned.
        sequence: tokens of one.
        cluster: where to.

    Raises:
        InputError: as ``gpt_of``; no layout keeps to the rules.
        BudgetError: nothing fits; with what would.
    """
    shape = gpt_of(params, sequence)
    sequences = 2 ** round(math.log2(max(1.0, batch_tokens / sequence)))
    training = Training(sequences, sequence)
    found = layouts.plan(shape, cluster, training)
    works = found[found["reason"] == ""]
    if works.empty:
        raise nearest.refusal(found, shape, cluster, training, layouts.Space())
    best = works.iloc[0]
    seconds = math.ceil(tokens / (sequences * sequence)) * float(best["seconds"])
    power = cluster.power_watts
    return Cost(
        shape, nearest.describe(best), sequences, float(best["memory"]), seconds,
        None if power is None else power * cluster.devices * seconds,
    )  # fmt: skip
