"""The bubble of a pipeline, measured with stages that only sleep, all equally long.

Run by ``measure`` in two processes, ``python -m parsimony.plan.running.bubble FOLDER`` in each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from parsimony.core import artifacts
from parsimony.plan.running import launch, pipeline

STAGES = 2
FORWARD, BACKWARD = 0.02, 0.04
"""Seconds that a stage sleeps for a micro-batch."""
MICRO_BATCHES = (2, 4, 8, 16)


class _Sleep(torch.autograd.Function):
    """Sleeps in either pass."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        time.sleep(FORWARD)
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        time.sleep(BACKWARD)
        return gradient


class Sleeper(nn.Module):
    """A stage that takes its time and changes nothing but the scale."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of any shape, the same."""
        return _Sleep.apply(x * self.scale)  # type: ignore[no-any-return,no-untyped-call]


def measure(schedule: str = "1f1b") -> dict[int, float]:
    """Time of a step over that of its passes alone, by the number of micro-batches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts.write_json(folder / "schedule.json", schedule)
        launch.start(folder, STAGES, 0, "another try", lambda _: None, module=__name__)
        found = artifacts.read_json(folder / "found.json")
    return {int(m): ratio for m, ratio in found.items()}


def main(folder: Path) -> None:
    """Time one step for each number of micro-batches, after one that sets the stages up."""
    from parsimony.plan.running.profile import largest

    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    device, rank = torch.device("cpu"), distributed.get_rank()
    group = distributed.group.WORLD
    assert group is not None
    found = {}
    for m in MICRO_BATCHES:
        ordered = pipeline.schedule(
            [Sleeper()], artifacts.read_json(folder / "schedule.json"), m, STAGES, device, group,
            loss_fn=lambda x, target: (x - target).square().mean(),
        )  # fmt: skip
        batch = torch.ones(m, 4)
        for _ in range(2):
            distributed.barrier()
            begin = time.perf_counter()
            ordered.step(*([batch] if rank == 0 else []), **({"target": batch} if rank else {}))
            seconds = largest(time.perf_counter() - begin, device)
        found[m] = seconds / (m * (FORWARD + BACKWARD))
    if rank == 0:
        artifacts.write_json(folder / "found.json", found)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
