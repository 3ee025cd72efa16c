"""Seconds of one step, split by what they are spent on, and the share of the peak that is left.

    step = m t_micro + (p - 1) / v t_micro + communication of the replicas + optimizer
    t_micro = operations of the slowest stage / (t peak efficiency) + all-reduces + pipeline

Operations are Megatron's: with full recompute 96 B s L h^2 (1 + s / (6 h) + V / (16 L h)) for a
GPT, without 72 B s L h^2 (1 + s / (6 h) + V / (12 L h)) (arXiv 2104.04473, section 3). A pipeline
goes at the pace of its last stage, which has the output layer beside its L / p layers.

Devices are numbered with tensor parallelism innermost, then replicas, then stages, so that a group
of replicas spans t d devices and neighbouring stages 2 t d; a group communicates over the closest
link that holds it. A ring over n devices moves 2 (n - 1) / n of its bytes, or half of that for
a gather or a reduce-scatter alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parsimony.plan.cluster.memory import STATES

if TYPE_CHECKING:
    from parsimony.plan.cluster.hardware import Cluster
    from parsimony.plan.cluster.model_shape import ModelShape
    from parsimony.plan.cluster.training import Training

SPENT_ON = (
    "compute", "tensor_comm", "pipeline_comm", "bubble", "replica_comm", "optimizer_step",
)  # fmt: skip
"""What the seconds of a step are for; they add up to ``seconds``."""


def layer_operations(shape: ModelShape, sequence: int, recompute: Any) -> Any:
    """Operations per token of one layer, forward and backward; a multiply-add is two.

    Matrices take 2 forward and 4 backward per parameter, attention 4 s and 8 s per query value;
    full recompute runs all of the forward pass again, selective that of the attention.
    """
    matrices = np.where(recompute == "full", 8.0, 6.0)  # the products pass 2^63
    attention = np.where(recompute == "none", 12.0, 16.0)
    return matrices * shape.matrices + attention * sequence * shape.query_width


def output_operations(shape: ModelShape) -> int:
    """Operations per token of the output layer, forward and backward."""
    return 6 * shape.hidden * shape.vocabulary


def operations(shape: ModelShape, tokens: Any, sequence: int, recompute: Any) -> Any:
    """Operations of training on ``tokens`` tokens."""
    layers = shape.layers * layer_operations(shape, sequence, recompute)
    return tokens * (layers + output_operations(shape))


def bubble_share(p: Any, m: Any, v: Any = 1) -> Any:
    """Idle time of a pipeline over its working time, (p - 1) / (v m)."""
    return (p - 1) / (v * m)


def step(
    layouts: pd.DataFrame, shape: ModelShape, cluster: Cluster, training: Training
) -> pd.DataFrame:
    """Time of a step of each layout, and the throughput that it gives.

    Args:
        layouts: the columns of ``layouts.candidates`` and of ``memory.heaviest_stage``.
        shape: of the model.
        cluster: gives peak, memory bandwidth and links.
        training: what is trained.

    Returns:
        Seconds for each of ``SPENT_ON``, ``replica_comm_hidden``, their sum ``seconds``;
        ``samples_per_second``; ``tflops`` per device and ``hardware_share`` of the peak, which
        count recomputed operations; ``model_share``, which does not.
    """
    t, p, d, v, b, m = (
        layouts[name].to_numpy()
        for name in ("tensor", "pipeline", "data", "chunks", "micro_batch", "micro_batches")
    )
    recompute = layouts["recompute"].to_numpy()
    tokens = training.sequence * b
    layers = shape.layers / p
    per_token = layers * layer_operations(shape, training.sequence, recompute)
    compute = tokens * (per_token + output_operations(shape)) / t / cluster.flops

    # Two all-reduces forward, two backward, two more when the forward pass runs again.
    message = 2 * tokens * shape.hidden
    reductions = layers * np.where(recompute == "full", 6, 4)
    tensor = reductions * _ring(message, t, t, cluster, passes=2)

    handed = message / (t if training.sequence_parallel else 1)
    hop = handed / cluster.bandwidth(2 * t * d) + cluster.latency(2 * t * d)
    pipeline = np.where(p > 1, 2 * v * hop, 0)

    micro = compute + tensor + pipeline
    replicas = _replicas(layouts, cluster, training)
    backward = compute * np.where(recompute == "full", 3 / 4, 2 / 3)
    hidden = np.minimum(replicas, backward) if training.overlap else 0 * replicas
    states = sum(layouts[cause].to_numpy() for cause in ("weights", "gradients", "optimizer"))

    spent = {
        "compute": m * compute,
        "tensor_comm": m * tensor,
        "pipeline_comm": m * pipeline,
        "bubble": (p - 1) / v * micro,
        "replica_comm": replicas - hidden,
        "optimizer_step": 2 * states / cluster.memory_bandwidth,  # read, and written back
    }
    seconds = sum(spent.values())
    devices = t * p * d
    rate = training.batch / seconds
    everything = training.batch * training.sequence
    done = operations(shape, everything, training.sequence, recompute) / seconds / devices
    useful = operations(shape, everything, training.sequence, "none") / seconds / devices
    peak = 1e12 * cluster.peak_tflops
    return pd.DataFrame(
        {
            **spent,
            "replica_comm_hidden": hidden,
            "seconds": seconds,
            "samples_per_second": rate,
            "tflops": done / 1e12,
            "hardware_share": done / peak,
            "model_share": useful / peak,
        },
        index=layouts.index,
    )


def _ring(message: Any, n: Any, extent: Any, cluster: Cluster, passes: Any) -> Any:
    """Seconds of ``passes`` times round a ring of n devices; an all-reduce goes round twice."""
    moved = (n - 1) / n * message / cluster.bandwidth(extent)
    return passes * (moved + (n - 1) * cluster.latency(extent))


def _replicas(layouts: pd.DataFrame, cluster: Cluster, training: Training) -> Any:
    """Seconds in which the replicas exchange gradients and, where ZeRO splits them, weights.

    ZeRO 0 reduces the gradients once a step. ZeRO 1 scatters them and gathers the weights, the
    same volume; ZeRO 2 scatters the gradients of every micro-batch, ZeRO 3 also gathers the
    weights before its forward and its backward pass.
    """
    t, d, z, m, parameters = (
        layouts[name].to_numpy()
        for name in ("tensor", "data", "zero", "micro_batches", "parameters")
    )
    states = STATES[training.states]
    scatters = np.select([z == 0, z == 1], [2, 1], m)
    gathers = np.select([z == 0, z == 3], [0, 2 * m], 1)
    return _ring(states.gradients * parameters, d, t * d, cluster, scatters) + _ring(
        states.weights * parameters, d, t * d, cluster, gathers
    )
