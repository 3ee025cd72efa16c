"""Work for the engines' tests, in a module that worker processes can import."""

from __future__ import annotations

import inspect
import os
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parsimony.core.errors import ArtifactError, BudgetError, DataError

Progress = Callable[[float], None]
Job = dict[str, Any]


class OutsideError(ArtifactError):
    """An error class that the tree in core does not know."""


def square(job: Job, progress: Progress) -> Job:
    """Tell of two units of progress and give the square and the process."""
    progress(1)
    progress(1)
    return {"square": job["x"] ** 2, "process": os.getpid()}


def die_once(job: Job, progress: Progress) -> Job:
    """Kill this process unless an earlier try left its marker."""
    marker = Path(job["marker"])
    if job["x"] == 1 and not marker.exists():
        marker.touch()
        progress(1)
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": job["x"] ** 2}


def die_in_the_middle_of_the_answer(job: Job, progress: Progress) -> Job:
    """Announce a message of a hundred bytes, send ten of them and kill this process."""
    marker = Path(job["marker"])
    if not marker.exists():
        marker.touch()
        connection = inspect.getclosurevars(progress).nonlocals["connection"]
        os.write(connection.fileno(), struct.pack("!i", 100) + b'{"progress')
        os.kill(os.getpid(), signal.SIGKILL)
    return {"done": True}


def die_always(job: Job, progress: Progress) -> Job:
    """Count the try and kill this process."""
    with Path(job["marker"]).open("a") as stream:
        stream.write("x")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def refuse(job: Job, progress: Progress) -> Job:
    """Raise the error named by the job."""
    if job["kind"] == "data":
        raise DataError("must be text", file="a.csv", row=job["x"])
    if job["kind"] == "budget":
        raise BudgetError("too little", nearest="time=1h")
    if job["kind"] == "outside":
        raise OutsideError("not ours", hint="Look there")
    if job["kind"] == "bug":
        raise ZeroDivisionError("an unforeseen fault")
    return {"fine": job["x"]}


def interrupt_self(job: Job, progress: Progress) -> Job:
    """Get the signal that Ctrl-C sends to every process of a terminal."""
    os.kill(os.getpid(), signal.SIGINT)
    return {"alive": True}


def not_json(job: Job, progress: Progress) -> Job:
    """Give what JSON has no word for."""
    return {"score": float("nan")}


def sleep_forever(job: Job, progress: Progress) -> Job:
    """Say who this is and wait to be ended."""
    Path(job["started"]).write_text(str(os.getpid()))
    threading.Event().wait()
    return {}
