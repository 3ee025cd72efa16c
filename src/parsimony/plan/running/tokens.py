"""The tokens that a run trains on: bytes of the standard library's source, or random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from parsimony.core import artifacts
from parsimony.core.errors import InputError, nearest
from parsimony.plan.cluster.plan_file import Plan

SOURCES = ("stdlib-code", "random")
FILE = "tokens.bin"


def check(source: str, plan: Plan) -> None:
    """Refuse data that a plan cannot train on.

    Raises:
        InputError: an unknown source, or a vocabulary that has not every byte.
    """
    if source not in SOURCES:
        raise InputError(f"unknown data '{source}'", hint=nearest(source, SOURCES))
    if source == "stdlib-code" and plan.shape.vocabulary < 256:
        raise InputError(
            "the bytes of stdlib-code need a vocabulary of at least 256",
            got=plan.shape.vocabulary, hint="Use --data random",
        )  # fmt: skip


def prepare(folder: Path, source: str, plan: Plan, steps: int) -> None:
    """Write the text that a run draws from to ``folder/tokens.bin``, if it is not there yet.

    No more is written than the run can need.

    Args:
        folder: of the run.
        source: of ``SOURCES``; random tokens need no file.
        plan: gives batch and sequence.
        steps: of the run.
    """
    if source == "random" or (folder / FILE).is_file():
        return
    from parsimony.core.data import builtins

    need = max(steps * plan.training.batch, 64) * (plan.training.sequence + 1)
    text = bytearray()
    for piece in builtins.stdlib_code().table["text"]:
        text += piece.encode()
        if len(text) >= need:
            break
    artifacts.write_bytes(folder / FILE, bytes(text))


def batch(folder: Path, plan: Plan, seed: int, step: int) -> torch.Tensor:
    """The ids (batch, sequence + 1) of one step; they depend on seed and step alone.

    Args:
        folder: that ``prepare`` wrote to.
        plan: as there.
        seed: of the run.
        step: from 1.
    """
    random = np.random.default_rng([seed, step])
    size = (plan.training.batch, plan.training.sequence + 1)
    file = folder / FILE
    if not file.is_file():
        return torch.from_numpy(random.integers(plan.shape.vocabulary, size=size))
    text = np.memmap(file, dtype=np.uint8, mode="r")
    starts = random.integers(len(text) - size[1] + 1, size=size[0])
    return torch.from_numpy(text[starts[:, None] + np.arange(size[1])].astype(np.int64))
