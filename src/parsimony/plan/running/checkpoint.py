"""Checkpoints that another layout can load: safetensors by torch.distributed.checkpoint.

Every process writes its own part of weights and moments, under the names of the whole model, with
where the part belongs; a process that loads takes what its own part needs from all files. A
checkpoint counts only with its manifest, and is checked against it before it is read. torch's
default storage keeps its index in a pickle; this one has none.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)

from parsimony.core import artifacts
from parsimony.plan.running.layout import Part

KEPT = 2
"""Checkpoints that a run keeps, the newest ones."""


def save(folder: Path, step: int, part: Part, optimizer: torch.optim.Optimizer) -> None:
    """Write ``folder/step-N`` after step N; all processes call it. The oldest ones are deleted."""
    target = folder / f"step-{step}"
    leads = distributed.get_rank() == 0
    if leads and target.exists():  # half of one, from before a kill
        shutil.rmtree(target)
    distributed.barrier()
    writer = HuggingFaceStorageWriter(str(target), save_distributed=True)
    dcp.save(_tensors(part, optimizer), storage_writer=writer)
    if leads:
        artifacts.seal(target, step=step)
        for old in sorted(steps(folder))[:-KEPT]:
            shutil.rmtree(folder / f"step-{old}")
    distributed.barrier()


def steps(folder: Path) -> list[int]:
    """The steps of the whole checkpoints in ``folder``, ascending."""
    found = [file for file in folder.glob("step-*") if artifacts.is_sealed(file)]
    return sorted(int(file.name.removeprefix("step-")) for file in found)


def load(folder: Path, step: int, part: Part, optimizer: torch.optim.Optimizer) -> None:
    """Put the weights and moments of ``folder/step-N`` into this process's part.

    Raises:
        ArtifactError: a file that is missing or changed.
    """
    source = folder / f"step-{step}"
    artifacts.verify(source)
    _prepare(optimizer, step)
    reader = HuggingFaceStorageReader(str(source))
    dcp.load(_tensors(part, optimizer), storage_reader=reader)


def _tensors(part: Part, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Weights and moments by name; both copies of a tied embedding have one name."""
    found = {}
    for name, parameter in part.named.items():
        if part.plan.shape.tied and name == "output.weight":
            name = "embedding.weight"
        found[name] = parameter.detach()
        for kind, value in optimizer.state[parameter].items():
            if kind != "step":
                found[f"{kind}/{name}"] = value
    return found


def _prepare(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Give an optimizer that has not stepped yet the states that it has after ``step`` steps.

    A step without gradients makes none, so it steps once with zeros, at rate and decay zero, which
    moves nothing.
    """
    groups = [dict(group) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.0, 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for group, before in zip(optimizer.param_groups, groups, strict=True):
        group.update(before)
    for state in optimizer.state.values():
        if "step" in state:
            state["step"].fill_(step)
