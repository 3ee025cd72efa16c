"""Train in child processes that kill themselves, until one lives to the end.

``python killed_training.py FOLDER SEED PLACES BYTES_PER_STEP`` prints the places and steps of the
kills and how each child ended, as JSON. Started by ``test_training_killed.py``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
import torch

from parsimony.core import artifacts, events, training


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, first: Callable[..., None]) -> None:
    """Call ``first`` with the same arguments whenever ``owner.name`` is called."""
    original = getattr(owner, name)

    def both(*arguments: Any, **named: Any) -> Any:
        first(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, both)


def after_step(step: int) -> Callable[[int], None]:
    """The step is done and nothing of it saved."""
    return lambda done: die() if done == step else None


def saving(step: int) -> None:
    """The weights of the checkpoint are there, the optimizer's state is not."""
    before(
        torch, "save",
        lambda _, file, *a, **k: die() if f"checkpoint-{step}/" in str(file) else None,
    )  # fmt: skip


def sealing(step: int) -> None:
    """All files of the checkpoint are there, the manifest is not."""
    before(artifacts, "seal", lambda folder: die() if folder.name == f"checkpoint-{step}" else None)


def renaming(step: int) -> None:
    """The manifest is written under its temporary name."""
    before(Path, "replace", lambda _, to: die() if f"checkpoint-{step}/" in str(to) else None)


def logging(step: int) -> None:
    """Half a line of the events is written."""

    def cut(events: Any, **event: Any) -> None:
        if event["step"] == step:
            with events._file.open("a") as stream:
                stream.write('{"loss": 0.')
            die()

    before(events.Events, "add", cut)


def rotating(step: int) -> None:
    """An old checkpoint has lost one of its files."""

    def spoil(folder: Any, *_: Any, **__: Any) -> None:
        if artifacts.is_sealed(Path(folder)) and Path(folder).name == f"checkpoint-{step - 2}":
            (Path(folder) / "optimizer.pt").unlink()
            die()

    before(shutil, "rmtree", spoil)


PLACES = {f.__name__: f for f in (saving, sealing, renaming, logging, rotating)}


def train(folder: Path, place: str | None, step: int) -> None:
    if place in PLACES:
        PLACES[place](step)
    training.train(
        tiny.lora(tiny.bert()),
        tiny.rows(),
        tiny.collator(),
        tiny.settings(),
        folder,
        evaluate=lambda _, at: 1 / at,
        evaluate_at=frozenset({3, 8}),
        on_step=after_step(step) if place == "after_step" else None,
    )


def main(folder: Path, seed: int, places: list[str], bytes_per_step: int) -> None:
    training._BYTES_PER_STEP = bytes_per_step
    draw = random.Random(seed)
    places = draw.sample(places, len(places))
    # A checkpoint is rotated out at the third save only.
    plan = list(zip(places, sorted(draw.sample(range(3, 13), len(places))), strict=True))
    ends = []
    for place, step in [*plan, (None, 0)]:
        child = os.fork()
        if child == 0:
            train(folder, place, step)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps({"plan": plan, "ends": ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","), int(sys.argv[4]))
