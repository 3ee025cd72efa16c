"""Time of a step: Megatron's counts, what it is split into, and the directions of the paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from parsimony.plan.cluster import hardware, layouts, time
from parsimony.plan.cluster.layouts import Space
from parsimony.plan.cluster.model_shape import NAMED
from parsimony.plan.cluster.training import Training

FRONTIER = hardware.load("frontier")
PLAIN = "zero=1,micro_batch=1,recompute=full,chunks=1"


def one(name: str, t: int, p: int, d: int, batch: int, **training: object) -> pd.Series:
    """The layout of these degrees, as the paper trains; it need not fit."""
    fix = Space.parse(f"tensor={t},pipeline={p},data={d},{PLAIN}")
    trained = Training(**{"batch": batch, "states": "frontier", "across_nodes": True, **training})
    return layouts.plan(NAMED[name], FRONTIER.of(t * p * d), trained, fix).iloc[0]


@pytest.mark.parametrize("name", NAMED)
def test_operations_are_megatrons(name: str) -> None:
    m, b, s = NAMED[name], 3, 2048
    count, h, v = m.layers, m.hidden, m.vocabulary
    full = 96 * b * s * count * h**2 * (1 + s / (6 * h) + v / (16 * count * h))
    none = 72 * b * s * count * h**2 * (1 + s / (6 * h) + v / (12 * count * h))
    assert time.operations(m, b * s, s, "full") == pytest.approx(full, rel=1e-14)
    assert time.operations(m, b * s, s, "none") == pytest.approx(none, rel=1e-14)
    scores = 4 * b * s * count * s * h
    assert time.operations(m, b * s, s, "selective") == pytest.approx(none + scores, rel=1e-14)


def test_a_step_by_hand() -> None:
    """The 22B model on 16 GCDs, t = 2, p = 4, d = 2, one micro-batch of one sequence at a time."""
    found = one("gpt-22b", 2, 4, 2, 32)
    h, s, v, m = 6144, 2048, 51200, 16
    stage = 12 * (8 * 12 * h * h + 16 * s * h)
    compute = s * (stage + 6 * h * v) / 2 / (191.5e12 * FRONTIER.efficiency)
    tensor = 12 * 6 * 2 * (2 * s * h / 2 / 200e9 + 10e-6)
    pipeline = 2 * (2 * s * h / 50e9 + 10e-6)
    assert found["compute"] == pytest.approx(m * compute)
    assert found["tensor_comm"] == pytest.approx(m * tensor)
    assert found["pipeline_comm"] == pytest.approx(m * pipeline)
    assert found["bubble"] == pytest.approx(3 * (compute + tensor + pipeline))
    n = found["parameters"]
    replicas = (4 + 2) * n / 2 / 50e9 + 2 * 10e-6  # gradients scattered, weights gathered
    assert found["replica_comm"] == pytest.approx(replicas)
    assert found["optimizer_step"] == pytest.approx(2 * (2 + 4 + 8 / 2) * n / 1.6e12)
    assert found["seconds"] == pytest.approx(sum(found[part] for part in time.SPENT_ON))
    assert found["samples_per_second"] == pytest.approx(32 / found["seconds"])
    done = time.operations(NAMED["gpt-22b"], 32 * s, s, "full") / found["seconds"] / 16
    assert found["tflops"] == pytest.approx(done / 1e12)
    assert found["hardware_share"] == pytest.approx(done / 191.5e12)


def test_overlap_hides_no_more_than_the_last_backward_pass() -> None:
    plain, hidden = (one("gpt-22b", 2, 2, 64, 256, overlap=o) for o in (False, True))
    saved = plain["seconds"] - hidden["seconds"]
    assert saved == pytest.approx(hidden["replica_comm_hidden"]) and saved > 0
    assert saved == pytest.approx(
        min(plain["replica_comm"], 0.75 * plain["compute"] / plain["micro_batches"])
    )


def test_zero_moves_the_papers_volumes_at_one_micro_batch() -> None:
    found = [
        layouts.plan(
            NAMED["gpt-22b"], FRONTIER.of(4), Training(4, 64),
            Space.parse(f"tensor=1,pipeline=1,zero={z},micro_batch=1,recompute=full,chunks=1"),
        ).iloc[0]["replica_comm"]
        for z in range(4)
    ]  # fmt: skip
    assert np.array(found) / found[0] == pytest.approx([1, 1, 1, 1.5])


def test_wider_tensor_parallelism_lowers_throughput_most_where_it_leaves_the_node() -> None:
    """At one stage, where fewer replicas and so more micro-batches do not shrink a bubble."""
    rates = [one("gpt-1t", t, 1, 16 // t, 16 * 1600)["tflops"] for t in (1, 2, 4, 8, 16)]
    drops = -np.diff(rates)
    assert (drops > 0).all() and drops.argmax() == 3


def test_more_micro_batches_raise_throughput_and_more_stages_lower_it() -> None:
    grown = [one("gpt-175b", 4, 16, 1, batch)["tflops"] for batch in (16, 64, 256, 1024)]
    assert (np.diff(grown) > 0).all()
    deeper = [one("gpt-175b", 4, p, 1, 64)["tflops"] for p in (4, 8, 16, 32)]
    assert (np.diff(deeper) < 0).all()


def test_stages_and_micro_batches_together_keep_it_flat() -> None:
    """But for the output layer, which weighs more the fewer layers a stage has."""
    rates = np.array([one("gpt-1t", 8, p, 1, 25 * p)["tflops"] for p in (8, 16, 32)])
    assert np.ptp(rates) / rates.max() < 0.04


def test_the_bubble() -> None:
    assert time.bubble_share(8, 8) == 0.875
    assert time.bubble_share(8, 8, 7) == 0.125
    found = one("gpt-175b", 4, 16, 1, 640)
    working = found["compute"] + found["tensor_comm"] + found["pipeline_comm"]
    assert found["bubble"] / working == pytest.approx(15 / 640)
