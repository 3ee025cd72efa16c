"""Starts the processes of a layout on this machine by torchrun, and ends them together.

torchrun's own agent runs in this process: it starts one process for each device of the layout,
looks at them ten times a second, and ends all when one has failed, within half a minute even those
that do not listen. What they print is in the run's ``logs``. A process that hangs makes the others'
collectives time out, and so fail.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

from parsimony.core import artifacts, errors
from parsimony.core.errors import InputError, InterruptedRun, ParsimonyError, nearest
from parsimony.core.events import read_events

BACKENDS = ("gloo", "nccl")
FAILURES = "failures"
"""Folder of what each process said of its end, one file for each."""

WORKER = "parsimony.plan.running.worker"
"""What a run's processes do."""


def processes_of(number: int) -> str:
    """``"1 process"``, ``"2 processes"``."""
    return f"{number} process{'es' if number > 1 else ''}"


def backend(name: str | None, processes: int) -> str:
    """The backend to use: what is asked for, or nccl where every process has a CUDA device.

    Args:
        name: what is asked for.
        processes: on this machine.

    Raises:
        InputError: unknown, or nccl without a CUDA device for every process.
    """
    import torch

    found = torch.cuda.device_count()
    if name is None:
        return "nccl" if found >= processes else "gloo"
    if name not in BACKENDS:
        raise InputError(f"unknown backend '{name}'", hint=nearest(name, BACKENDS))
    if name == "nccl" and found < processes:
        raise InputError(
            f"nccl needs a CUDA device for each of the {processes} processes", got=found,
            hint="Use --backend gloo, or plan for fewer devices",
        )  # fmt: skip
    return name


def check_port(port: int) -> None:
    """Refuse a port that another program has; 0 is any free one.

    Raises:
        InputError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"torchrun needs a free port, but {port} cannot be had ({error.strerror})",
                hint="Choose another --port, or leave it out for any free one",
            ) from None


def start(
    folder: Path,
    processes: int,
    port: int,
    resume: str,
    on_step: Callable[[int], None],
    module: str | None = None,
) -> None:
    """Run a module in every process, to the end; each gets the folder as its argument.

    Args:
        folder: of the run.
        processes: how many.
        port: for their meeting; 0 for any free one.
        resume: the command that goes on, for errors.
        on_step: called with the number of every step that is done.
        module: as ``python -m`` takes it; the worker when ``None``.

    Raises:
        InputError: as a process says, or the port is in use.
        ParsimonyError: a process failed or was killed; all have ended.
        InterruptedRun: the user stopped the run.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    check_port(port)
    for name in (FAILURES, "logs", "processes"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "logs").mkdir()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=f"127.0.0.1:{port}",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs"), redirects=Std.ALL),
    )
    command = [sys.executable, "-u", "-m", module or WORKER, str(folder)]
    try:
        with _quiet(), _handlers_kept(), _watched(folder / "events.jsonl", on_step):
            elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as error:
        raise _failure(folder, error.failures, processes, resume) from None
    except (SignalException, KeyboardInterrupt):
        raise InterruptedRun(resume) from None


def _failure(folder: Path, failures: dict[int, Any], processes: int, resume: str) -> ParsimonyError:
    """One error for what happened to all, from what each process said and how it ended.

    A process that was killed explains those that then missed it. One that hung is killed by
    torchrun after another has waited for it in vain.
    """
    said = {
        rank: artifacts.read_json(file)
        for rank in sorted(failures)
        if (file := folder / FAILURES / f"{rank}.json").is_file()
    }
    steps = [event["step"] for event in read_events(folder / "events.jsonl")]
    then = f"All {processes} have ended after step {max(steps, default=0)}. Continue with: {resume}"
    ours = [each for each in said.values() if each["kind"] != "bug"]
    if ours:
        kind = getattr(errors, ours[0]["kind"], ParsimonyError)
        found: ParsimonyError = kind.from_text(ours[0]["text"])
        return found
    waited = [rank for rank, each in said.items() if "timed out" in each["text"].lower()]
    if waited:
        return ParsimonyError(
            f"process {waited[0]} of {processes} waited for the others longer than --timeout",
            hint=then,
        )
    killed = {rank: -failure.exitcode for rank, failure in failures.items()}
    killed = {rank: n for rank, n in killed.items() if n > 0 and n != signal.SIGTERM}
    if killed:
        rank = min(killed)
        name = signal.Signals(killed[rank]).name
        return ParsimonyError(f"process {rank} of {processes} was ended by {name}", hint=then)
    rank = min(said or failures)
    if rank not in said:
        code = failures[rank].exitcode
        return ParsimonyError(f"process {rank} of {processes} ended with code {code}", hint=then)
    return ParsimonyError(
        f"process {rank} of {processes} failed: {said[rank]['text']}",
        hint=f"{then}. What it printed is in {folder / 'logs'}",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torchrun's account of a failure off the terminal; ours is one line."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # its loggers have levels of their own
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun does
    try:
        yield
    finally:
        logging.disable(level)
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """torchrun sets handlers of signals and leaves them."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _watched(events: Path, on_step: Callable[[int], None]) -> Iterator[None]:
    """Call ``on_step`` for every step that the processes note, while they run."""
    stop = Event()

    def newest() -> int:
        """The last step noted; of a long record the end is enough."""
        if not events.is_file():
            return 0
        with events.open("rb") as stream:
            stream.seek(max(0, events.stat().st_size - 4096))
            lines = stream.read().split(b"\n")[1 if stream.tell() > 4096 else 0 : -1]
        return int(json.loads(lines[-1])["step"]) if lines else 0

    def watch() -> None:
        seen, ended = newest(), False
        while not ended:
            ended = stop.wait(0.2)
            for step in range(seen + 1, newest() + 1):
                seen = step
                on_step(step)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
