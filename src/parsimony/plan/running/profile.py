"""Measures what the planner assumes of a machine, with the widths and the groups of a layout.

* efficiency: operations of a micro-batch on the slowest stage, by the planner's count, over the
  time of its local matrices alone and over the peak;
* links: all-reduces of the tensor-parallel group and of the replicas, and messages from stage to
  stage; the time of a small one gives the latency;
* memory bandwidth: bytes of the states, read and written back, over the optimizer's time.

All processes measure at the same time, as they compute and send at the same time in training. The
slowest one counts.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh

from parsimony.core.energy import synchronise
from parsimony.core.run import machine
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.plan_file import Plan
from parsimony.plan.cluster.time import layer_operations, output_operations
from parsimony.plan.running.gpt import GPT, loss

REPEATS = 5
"""Of each measurement, after one that is not counted; the median counts."""

SMALL = 1024
"""Values in the message that shows the latency."""

LARGE = 2**20
"""Fewest values in the message that shows the bandwidth; fewer take no time that can be told."""


def largest(figure: float, device: torch.device) -> float:
    """The largest of all processes' figures, in all of them."""
    found = torch.tensor(figure, dtype=torch.float64, device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return float(found)


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """Median time of ``work``, which all processes start together."""
    times = []
    for _ in range(1 + REPEATS):
        distributed.barrier()
        synchronise(device.type)
        begin = time.perf_counter()
        work()
        synchronise(device.type)
        times.append(time.perf_counter() - begin)
    return largest(statistics.median(times[1:]), device)


def narrowed(shape: ModelShape, tensor: int) -> ModelShape:
    """The shape of one tensor-parallel device's matrices."""
    return dataclasses.replace(
        shape,
        heads=shape.heads // tensor,
        kv_heads=(shape.kv_heads or shape.heads) // tensor,
        head_size=shape.query_width // shape.heads,
        ffn=shape.inner // tensor,
        vocabulary=shape.vocabulary // tensor,
    )


def compute(plan: Plan, device: torch.device, precision: str) -> dict[str, float]:
    """Operations and time of one micro-batch on one device of the slowest stage, by itself.

    Returns:
        ``operations`` as the planner counts them, and ``seconds``.
    """
    layout, training, shape = plan.layout, plan.training, plan.shape
    layers = shape.layers // layout.pipeline
    narrow = narrowed(shape, layout.tensor)
    stage = GPT(narrow, range(layers), False, True, training.flash, layout.recompute).to(device)
    size = (layout.micro_batch, training.sequence)
    x = torch.randn(*size, shape.hidden, device=device, requires_grad=True)
    y = torch.randint(narrow.vocabulary, size, device=device)

    def passes() -> None:
        with torch.autocast(device.type, torch.bfloat16, precision == "bf16"):
            found = loss(stage(x), y)
        found.backward()

    each = layer_operations(shape, training.sequence, layout.recompute)
    per_token = layers * float(each) + output_operations(shape)
    operations = layout.micro_batch * training.sequence * per_token / layout.tensor
    return {"operations": operations, "seconds": seconds_of(passes, device)}


def links(plan: Plan, mesh: DeviceMesh, device: torch.device) -> list[dict[str, float]]:
    """Bandwidth and latency of each group that the layout has, the smallest group first.

    Returns:
        ``devices`` that the group spans, ``bandwidth`` in bytes per second, ``latency_us``.
    """
    layout = plan.layout
    activations = layout.micro_batch * plan.training.sequence * plan.shape.hidden
    weights = plan.shape.parameters // (layout.tensor * layout.pipeline)
    found = []
    for name, extent, values in (
        ("tp", layout.tensor, activations),
        ("dp", layout.tensor * layout.data, weights),
    ):
        group = mesh.get_group(name)
        n = group.size()
        if n > 1:

            def reduce(count: int, group: Any = group) -> Callable[[], Any]:
                message = torch.ones(count, device=device)
                return lambda: distributed.all_reduce(message, group=group)

            # An all-reduce goes round the ring twice: 2 (n - 1) messages of a n-th each.
            found.append(_link(extent, values, reduce, device, 2 * (n - 1) / n, 2 * (n - 1)))
    if layout.pipeline > 1:
        group = mesh.get_group("pp")

        def hand_on(count: int) -> Callable[[], Any]:
            sent, got = torch.ones(count, device=device), torch.empty(count, device=device)
            after = distributed.get_global_rank(group, (group.rank() + 1) % group.size())
            before = distributed.get_global_rank(group, (group.rank() - 1) % group.size())
            operations = (
                (distributed.isend, sent, after), (distributed.irecv, got, before),
            )  # fmt: skip

            def work() -> None:
                pairs = [distributed.P2POp(*each, group=group) for each in operations]
                for request in distributed.batch_isend_irecv(pairs):
                    request.wait()

            return work

        span = 2 * layout.tensor * layout.data
        found.append(_link(span, activations, hand_on, device, 1, 1))
    return found


def _link(
    devices: int, values: int, work: Any, device: torch.device, share: float, hops: float
) -> dict[str, float]:
    """From the times of a small message and of one of ``values`` values more, or of ``LARGE``."""
    values = max(values, LARGE)
    small = seconds_of(work(SMALL), device)
    large = seconds_of(work(SMALL + values), device)
    longer = large - small if large > small else large  # noise can hide what the values take
    return {
        "devices": devices,
        "bandwidth": share * 4 * values / longer,
        "latency_us": 1e6 * small / hops,
    }


def measured_cluster(
    plan: Plan,
    computed: dict[str, float],
    found: list[dict[str, float]],
    optimizer_seconds: float,
    memory: float,
    run: str,
) -> Cluster:
    """The plan's cluster with what was measured in the place of what was assumed.

    Args:
        plan: that ran.
        computed: as ``compute`` gives it.
        found: as ``links`` gives it.
        optimizer_seconds: of a step.
        memory: bytes that a device has.
        run: the command that measured, for the sources.
    """
    before = plan.cluster.part(plan.layout.devices)
    costs = plan.costs()
    states = float(sum(costs[cause] for cause in ("weights", "gradients", "optimizer")))
    rate = computed["operations"] / computed["seconds"] / 1e12
    # A peak below what was reached was none.
    peak = max(before.peak_tflops, rate)
    links = found or [link.model_dump() for link in before.links]
    links[-1]["devices"] = max(before.devices, links[-1]["devices"])
    measured = dict.fromkeys(("efficiency", "memory", "memory_bandwidth"), run)
    if found:
        measured["links"] = run
    if peak > before.peak_tflops:
        measured["peak_tflops"] = f"{run}; the stated {before.peak_tflops:g} was passed"
    return Cluster.model_validate(
        {
            **before.fields(),
            "name": f"{before.name}, measured",
            "memory": f"{memory!r} B",
            "memory_bandwidth": f"{2 * states / optimizer_seconds!r} B/s",
            "peak_tflops": peak,
            "efficiency": rate / peak,
            "links": [{**link, "bandwidth": f"{link['bandwidth']!r} B/s"} for link in links],
            "sources": {**before.sources, **measured},
        }
    )


def device_memory(on_cpu: bool, processes: int) -> float:
    """Bytes that each process can have: of its CUDA device, or its share of the machine."""
    if on_cpu:
        return float(machine()["memory_bytes"]) / processes
    return float(torch.cuda.get_device_properties(0).total_memory)
