"""The processes that torchrun starts for one training: who is who, and how they keep in step.

The first process runs the whole program and alone writes files; the others only take part in
trainings (``workers.Together``). Gradients go through torch's process group, which the trainer
starts; everything else is a few words of JSON in torchrun's own key-value store, where one may
wait for hours and no device is needed. A process that fails ends, and torchrun ends the rest.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from parsimony.core.errors import InputError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_PATIENCE = timedelta(days=30)  # the first process may score, plan or wait for a lock meanwhile
_numbers = itertools.count()
_together = False


def count() -> int:
    """Processes that torchrun (or ``accelerate launch``) started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this is the first of them, or the only one."""
    return _rank() == 0


def _rank() -> int:
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def agreed(find: Callable[[], T]) -> T:
    """What ``find`` gives in the first process, in all of them; it is called in no other.

    All processes must come here the same number of times.

    Args:
        find: gives what JSON can say.
    """
    if count() == 1:
        return find()
    key = f"agreed/{next(_numbers)}"
    if not leads():
        return cast(T, json.loads(_store().get(key)))
    found = find()
    _store().set(key, json.dumps(found))
    return found


def meet() -> None:
    """Wait until all processes of a training are here."""
    if count() > 1:
        import torch

        torch.distributed.barrier()


def draw_apart(seed: int) -> None:
    """Let every process but the first draw (dropout) from another stream of ``seed``."""
    if not leads():
        import numpy as np
        import torch

        # Mixed, since torch's CPU generator heeds the lower 32 bits of a seed alone.
        torch.manual_seed(int(np.random.SeedSequence([seed, _rank()]).generate_state(1)[0]))


def first_to_fail() -> bool:
    """Whether no other process has asked before: one line is enough for an error of all."""
    return count() == 1 or bool(_store().add("failures", 1) == 1)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Around work that all processes do at the same time, each on the CUDA device of its own."""
    global _together
    import torch

    device = int(os.environ.get("LOCAL_RANK", "0"))
    if device < torch.cuda.device_count():
        torch.cuda.set_device(device)
    _together = True
    try:
        yield
    finally:
        _together = False


def check_together() -> None:
    """Say so before a training that would wait for ever for the other processes.

    Raises:
        InputError: there are others, and they do not take part.
    """
    if count() > 1 and not _together:
        raise InputError(
            "only 'adapt' and 'plan run' train in several processes", got=f"WORLD_SIZE={count()}",
            hint="Start this one without torchrun",
        )  # fmt: skip


def check_cuda() -> None:
    """Check that every process of this machine can have a CUDA device of its own.

    Raises:
        InputError: there are too few.
    """
    import torch

    here, found = int(os.environ.get("LOCAL_WORLD_SIZE", count())), torch.cuda.device_count()
    if count() > 1 and here > found:
        raise InputError(
            f"torchrun may start one process per CUDA device, {found} here", got=here,
            hint="Lower --nproc-per-node, or use --device cpu",
        )  # fmt: skip


def check_batch(batch: int, accumulation: int = 1) -> None:
    """Check that every process gets equally many rows of a step.

    Raises:
        InputError: it does not divide.
    """
    if batch % (accumulation * count()):
        parts = f" and {accumulation} parts" if accumulation > 1 else ""
        raise InputError(
            f"the rows of a step must divide by {count()} processes{parts}", got=batch,
            hint="Change --batch or --nproc-per-node",
        )  # fmt: skip


def own(batch: dict[str, Any]) -> dict[str, Any]:
    """This process's rows of a batch: the r-th of as many slices as there are processes.

    Args:
        batch: tensors whose first axis is the rows; what is no tensor stays.

    Returns:
        The slice, empty where rows are fewer than processes.
    """
    import torch

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        rows, rank = len(tensor), _rank()
        return tensor[rows * rank // count() : rows * (rank + 1) // count()]

    return {key: cut(v) if isinstance(v, torch.Tensor) else v for key, v in batch.items()}


@functools.cache
def _store() -> Any:
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    found, _, _ = next(iter(rendezvous("env://")))
    store = PrefixStore("parsimony", found)
    store.set_timeout(_PATIENCE)
    return store
