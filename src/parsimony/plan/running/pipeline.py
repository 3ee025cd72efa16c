"""Pipeline parallelism by torch's schedules: who has which layers, and in which order they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed import pipelining
from torch.distributed.device_mesh import DeviceMesh

from parsimony.core.errors import InputError, nearest
from parsimony.plan.running.data_parallel import to_local
from parsimony.plan.running.gpt import GPT, loss

SCHEDULES = ("gpipe", "1f1b", "zero-bubble")
"""Orders of the passes. 1F1B on several chunks is interleaved; zero-bubble always is (Qi et al.
2023, arXiv 2401.10241): it runs the gradients of the weights where a stage would idle."""


def check(schedule: str, stages: int, chunks: int, micro_batches: int) -> None:
    """Refuse a schedule that does not go with a layout.

    Raises:
        InputError: unknown, or the numbers do not fit.
    """
    if schedule not in SCHEDULES:
        raise InputError(f"unknown schedule '{schedule}'", hint=nearest(schedule, SCHEDULES))
    if schedule == "zero-bubble" and (stages < 2 or chunks < 2):
        raise InputError(
            "zero-bubble is interleaved: it needs pipeline and chunks of at least 2",
            got=(stages, chunks), hint="Plan with --fix chunks=2",
        )  # fmt: skip
    if schedule == "gpipe" and chunks > 1:
        raise InputError("gpipe has no chunks", got=chunks, hint="Use --schedule 1f1b")
    if stages > 1 and micro_batches < stages and schedule != "gpipe":
        raise InputError(
            f"{schedule} needs at least as many micro-batches as its {stages} stages",
            got=micro_batches, hint="Lower micro_batch or data, or use --schedule gpipe",
        )  # fmt: skip


def pieces(layers: int, stages: int, chunks: int, rank: int) -> list[tuple[int, range]]:
    """The pieces of the model that process ``rank`` of a pipeline has, and the layers of each.

    Piece i of stages x chunks is on process i modulo stages, so that a micro-batch goes round.
    """
    each = layers // (stages * chunks)
    return [(i, range(i * each, (i + 1) * each)) for i in range(rank, stages * chunks, stages)]


def schedule(
    stages: Sequence[nn.Module],
    name: str,
    micro_batches: int,
    pieces: int,
    device: torch.device,
    group: distributed.ProcessGroup,
    loss_fn: Callable[..., torch.Tensor] = loss,
) -> Any:
    """torch's schedule for the stages of this process.

    Args:
        stages: its pieces, in order.
        name: of ``SCHEDULES``.
        micro_batches: of a step.
        pieces: of the whole pipeline.
        device: where the stages are.
        group: of the pipeline's processes.
        loss_fn: of what the last piece gives and the target.
    """
    wrapped = [
        pipelining.PipelineStage(
            stage, group.rank() + i * group.size(), pieces, device, group=group
        )
        for i, stage in enumerate(stages)
    ]
    if len(wrapped) == 1:
        kind = pipelining.ScheduleGPipe if name == "gpipe" else pipelining.Schedule1F1B
        return kind(wrapped[0], micro_batches, loss_fn=loss_fn)
    kind = (
        pipelining.ScheduleInterleavedZeroBubble
        if name == "zero-bubble"
        else pipelining.ScheduleInterleaved1F1B
    )
    return kind(wrapped, micro_batches, loss_fn=loss_fn)


def step(
    schedule: Any, stages: list[GPT], inputs: torch.Tensor, targets: torch.Tensor
) -> list[torch.Tensor]:
    """One batch through the pipeline; the losses of its micro-batches where the last stage is."""
    losses: list[torch.Tensor] = []
    first = (inputs,) if stages[0].embedding is not None else ()
    last = {"target": targets, "losses": losses} if stages[-1].output is not None else {}
    schedule.step(*first, **last, return_outputs=False)
    return [found.detach() for found in losses]


def ends(mesh: DeviceMesh) -> distributed.ProcessGroup | None:
    """A group of the first and the last stage of this process's pipeline; all processes must call.

    ``None`` for the stages in between.
    """
    own = None
    for column in mesh.mesh.flatten(1).T.tolist():
        group = distributed.new_group([column[0], column[-1]])
        if distributed.get_rank() in (column[0], column[-1]):
            own = group
    return own


def add_tied(stages: list[GPT], group: distributed.ProcessGroup | None) -> None:
    """Add up the gradients of the two copies of a tied embedding.

    Args:
        stages: of this process.
        group: as ``ends`` gives it.
    """
    for module in (stages[0].embedding, stages[-1].output):
        if module is not None and group is not None:
            assert module.weight.grad is not None
            distributed.all_reduce(to_local(module.weight.grad), group=group)
