"""What ``plan`` costs beside its peer, one thread, one process.

``python benchmarks/plan.py [--json]`` prints ratios with their spread, never an absolute time:

* layouts: 10^5 of them enumerated, costed and judged, over a plain Python loop over the same
  formulas, which says whether a layout works and not why; processor time.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from _rows import Row, show

from parsimony.core.errors import ParsimonyError
from parsimony.plan.cluster import hardware, layouts, model_shape
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.memory import LOGIT_BYTES, STATES
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training

REPETITIONS = 5
LAYOUTS = 100_000


def by_loop(
    rows: list[dict[str, Any]], shape: ModelShape, cluster: Cluster, training: Training
) -> list[tuple[float, float, bool]]:
    """(bytes of the heaviest stage, seconds of a step, whether it works) of each layout."""
    found = []
    for row in rows:
        memory, parameters, states = max(
            (stage_memory(row, shape, training, first) for first in (True, False)),
            key=lambda stage: stage[0],
        )
        seconds = step_seconds(row, shape, cluster, training, parameters, states)
        works = has_form(row, shape, cluster, training) and memory <= cluster.usable
        found.append((memory, seconds, works))
    return found


def has_form(row: dict[str, Any], shape: ModelShape, cluster: Cluster, training: Training) -> bool:
    """Whether the numbers of a layout divide what they must."""
    t, p, d, v, b = (row[k] for k in ("tensor", "pipeline", "data", "chunks", "micro_batch"))
    m = max(training.batch // (b * d), 1)
    return (
        t * p * d == cluster.devices
        and shape.heads % t == 0
        and (shape.kv_heads or shape.heads) % t == 0
        and shape.hidden % t == 0
        and shape.inner % t == 0
        and (t <= cluster.per_node or training.across_nodes)
        and shape.layers % (p * v) == 0
        and (v == 1 or (p > 1 and training.schedule == "1f1b" and m % p == 0))
        and training.batch % (b * d) == 0
    )


def stage_memory(
    row: dict[str, Any], shape: ModelShape, training: Training, first: bool
) -> tuple[float, float, float]:
    """(bytes of all, parameters, bytes of the states) on a device of the first or last stage."""
    t, p, d, v, b = (row[k] for k in ("tensor", "pipeline", "data", "chunks", "micro_batch"))
    z, recompute, m = row["zero"], row["recompute"], max(training.batch // (b * d), 1)
    first, last = first or p == 1, not first or p == 1
    split = -(-shape.vocabulary // t)
    parameters = shape.layers / p * ((shape.matrices + shape.split_biases) / t + shape.copied)
    if first:
        parameters += split * shape.hidden + shape.positions * shape.hidden
    if last:
        parameters += shape.final_norm
        if p > 1 or not shape.tied:
            parameters += split * shape.hidden
    kinds = STATES[training.states]
    states = parameters * (
        kinds.weights / (d if z >= 3 else 1)
        + kinds.gradients / (d if z >= 2 else 1)
        + kinds.optimizer / (d if z >= 1 else 1)
    )
    s, h = training.sequence, shape.hidden
    inputs = t if training.sequence_parallel else 1
    wide = 2 * shape.query_width + 2 * shape.key_width + (4 if shape.gated else 2) * shape.inner
    plain = s * b * (10 * h / inputs + 2 * wide / t)
    scores = 0 if training.flash else s * b * 5 * shape.heads * s / t
    kept = {"none": plain + scores, "selective": plain, "full": 2 * s * b * h / inputs}[recompute]
    if training.schedule == "gpipe":
        flight = m
    elif v == 1:
        flight = min(m, p if first else 1)
    else:
        flight = min(m * v, v * p + p - 1 if first else (v - 1) * p + 1) / v
    activations = kept * shape.layers / p * flight + plain + scores - kept
    logits = LOGIT_BYTES * s * b * split if last else 0
    return states + activations + logits, parameters, states


def step_seconds(
    row: dict[str, Any],
    shape: ModelShape,
    cluster: Cluster,
    training: Training,
    parameters: float,
    states: float,
) -> float:
    """Seconds of a step."""
    t, p, d, v, b = (row[k] for k in ("tensor", "pipeline", "data", "chunks", "micro_batch"))
    z, recompute, m = row["zero"], row["recompute"], max(training.batch // (b * d), 1)
    s, h, layers = training.sequence, shape.hidden, shape.layers / p
    full = recompute == "full"
    layer = (8 if full else 6) * shape.matrices
    layer += (12 if recompute == "none" else 16) * s * shape.query_width
    compute = s * b * (layers * layer + 6 * h * shape.vocabulary) / t / cluster.flops
    message = 2 * s * b * h
    reductions = layers * (6 if full else 4) * 2
    micro = compute + reductions * ring(message, t, t, cluster)
    if p > 1:
        bandwidth, latency = link(2 * t * d, cluster)
        handed = message / (t if training.sequence_parallel else 1)
        micro += 2 * v * (handed / bandwidth + latency)
    kinds = STATES[training.states]
    scatters = {0: 2, 1: 1}.get(z, m)
    gathers = {0: 0, 3: 2 * m}.get(z, 1)
    replicas = scatters * ring(kinds.gradients * parameters, d, t * d, cluster)
    replicas += gathers * ring(kinds.weights * parameters, d, t * d, cluster)
    if training.overlap:
        replicas -= min(replicas, compute * (3 / 4 if full else 2 / 3))
    return (m + (p - 1) / v) * micro + replicas + 2 * states / cluster.memory_bandwidth


def link(extent: int, cluster: Cluster) -> tuple[float, float]:
    """(bytes per second, seconds of a message) of the closest link that holds a group."""
    for level in cluster.links:
        if level.devices >= extent:
            break
    return level.bandwidth, 1e-6 * level.latency_us


def ring(message: float, n: int, extent: int, cluster: Cluster) -> float:
    """Seconds of once round a ring of n devices."""
    bandwidth, latency = link(extent, cluster)
    return (n - 1) / n * message / bandwidth + (n - 1) * latency


def case() -> tuple[ModelShape, Cluster, Training, layouts.Space]:
    """The 175B model on 1,024 devices of Frontier, with more than 10^5 layouts."""
    space = layouts.Space(chunks=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96))
    training = Training(4096, flash=False, states="frontier")
    return model_shape.NAMED["gpt-175b"], hardware.load("frontier").of(1024), training, space


def layout_rows() -> list[Row]:
    """Alternating repetitions, the order turned round each time."""
    shape, cluster, training, space = case()
    ratios = []
    for number in range(REPETITIONS):
        seconds, fitting = {}, {}
        for arm in ("ours", "loop") if number % 2 else ("loop", "ours"):
            start = time.process_time()
            if arm == "ours":
                table = layouts.plan(shape, cluster, training, space)
                fitting[arm] = int((table["reason"] == "").sum())
            else:
                rows = layouts.candidates(cluster, training, space).to_dict("records")
                fitting[arm] = sum(works for *_, works in by_loop(rows, shape, cluster, training))
            seconds[arm] = time.process_time() - start
        if len(table) < LAYOUTS or fitting["ours"] != fitting["loop"]:
            raise ParsimonyError(
                f"both must find the same layouts among {LAYOUTS:,} or more to be compared",
                got=(len(table), fitting),
            )
        ratios.append(seconds["ours"] / seconds["loop"])
    return [Row(f"plan of {len(table):,} layouts / plain loop", "ratio", tuple(ratios))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of plan beside its peer.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    show(layout_rows(), parser.parse_args().json)


if __name__ == "__main__":
    main()
