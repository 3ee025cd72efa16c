"""Run independent jobs, each in a process of its own; the answer does not depend on how many.

A job is a JSON object; the work is a function named by ``"module:function"`` that takes the job
and a progress callback and returns a JSON object. A process of its own gives every job a clean
peak-memory reading and a clean random state. A worker that is killed is started again; jobs
resume from what they wrote to disk.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from parsimony.core import devices, errors
from parsimony.core.errors import InputError, ParsimonyError, require
from parsimony.core.quiet import hush

Job = dict[str, Any]
Progress = Callable[[float], None]

_ATTEMPTS = 4


class Engine(Protocol):
    """Where jobs run."""

    def map(self, work: str, jobs: list[Job], progress: Progress) -> list[Job]:
        """Results in the order of ``jobs``; ``progress`` gets the units done since last time.

        Raises:
            ParsimonyError: the first error of a job, in job order; the other jobs still finish.
        """
        ...


def engine(name: str, workers: int, address: str | None = None) -> Engine:
    """``"local"`` processes, or ``"ray"`` tasks on a cluster (or on this machine).

    Under torchrun the processes that it started are the engine: they do one job at a time.

    Raises:
        InputError: an unknown name, fewer than one worker, an address without ray; more than one
            worker or another engine under torchrun.
        MissingExtraError: ray is not installed.
    """
    if workers < 1:
        raise InputError("--workers must be at least 1", got=workers)
    if devices.count() > 1:
        if name != "local" or workers > 1 or address is not None:
            raise InputError(
                f"the {devices.count()} processes of torchrun share one training at a time",
                got=f"--engine {name}, --workers {workers}",
                hint="Leave out --engine, --workers and --address, or start without torchrun",
            )
        return Together()
    if name == "local":
        if address is not None:
            raise InputError("--address goes with --engine ray", got=address)
        return Local(workers)
    if name == "ray":
        return Ray(workers, address)
    raise InputError("unknown engine", got=name, hint=errors.nearest(name, ("local", "ray")))


class Local:
    """Processes on this machine, forked from a server that has torch loaded already.

    Args:
        workers: how many at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context = multiprocessing.get_context("forkserver")

    def map(self, work: str, jobs: list[Job], progress: Progress) -> list[Job]:
        return _results(self.answers(work, jobs, progress), len(jobs))

    def answers(self, work: str, jobs: list[Job], progress: Progress) -> dict[int, Job]:
        """What each job sent back: its result, or its error."""
        self._context.set_forkserver_preload(["parsimony.core.hushed", work.partition(":")[0]])
        waiting = list(range(len(jobs)))[::-1]
        attempts = [0] * len(jobs)
        answers: dict[int, Job] = {}
        running: dict[Connection, tuple[int, Any]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._workers:
                    index = waiting.pop()
                    attempts[index] += 1
                    here, there = self._context.Pipe(duplex=False)
                    process = self._context.Process(
                        target=_child, args=(there, work, json.dumps(jobs[index])), daemon=True
                    )
                    process.start()
                    there.close()
                    running[here] = (index, process)
                for connection in wait(list(running)):
                    assert isinstance(connection, Connection)
                    index, process = running[connection]
                    try:
                        message = json.loads(connection.recv_bytes())
                    except (EOFError, OSError):  # OSError: killed in the middle of a message
                        del running[connection]
                        connection.close()
                        process.join()
                        if index not in answers:
                            if attempts[index] >= _ATTEMPTS:
                                raise _died(f"exit code {process.exitcode}") from None
                            waiting.append(index)
                        continue
                    if "progress" in message:
                        progress(message["progress"])
                    else:
                        answers[index] = message
        finally:
            for _, process in running.values():
                process.kill()
                process.join()
        return answers


class Ray:
    """Ray tasks, each with a local worker of its own; one whose worker dies is run again.

    All nodes must see the run folder under the same path.

    Args:
        workers: tasks at a time on a cluster started here; ignored with ``address``.
        address: of a running cluster, or ``None`` to start one on this machine.
    """

    def __init__(self, workers: int, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
        self._ray = require("ray", "ray")
        self._workers, self._address = workers, address

    def map(self, work: str, jobs: list[Job], progress: Progress) -> list[Job]:
        ray = self._ray
        if not ray.is_initialized():  # left running for the next call; Ray ends it with us
            local = {} if self._address else {"num_cpus": self._workers}
            ray.init(
                address=self._address,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                **local,
            )
        deaths = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
        )
        task = ray.remote(max_retries=_ATTEMPTS - 1, num_cpus=1)(_run_in_ray)
        pending = {task.remote(work, json.dumps(job)): i for i, job in enumerate(jobs)}
        answers: dict[int, Job] = {}
        while pending:
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            index = pending.pop(ready)
            try:
                answers[index] = json.loads(ray.get(ready))
            except deaths as error:
                raise _died(type(error).__name__) from None
            progress(jobs[index].get("units", 1))
        return _results(answers, len(jobs))


class Together:
    """All processes that torchrun started, on one job at a time; the others are in ``follow``.

    Jobs run in these very processes, not in children. An error ends the process it comes up in,
    and with it all: others may wait for its gradients.
    """

    def map(self, work: str, jobs: list[Job], progress: Progress) -> list[Job]:
        results = []
        for job in jobs:
            devices.agreed(lambda job=job: [work, job])  # type: ignore[misc]
            results.append(_together(work, job, progress))
        return results


def follow() -> None:
    """Body of every process but the first: take part in its jobs until it says that all is done.

    Raises:
        ParsimonyError: of a job.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the first process, which says so
    while asked := devices.agreed(lambda: None):
        _together(*asked, lambda _: None)


def dismiss() -> None:
    """Let the processes in ``follow`` end, if there are any."""
    if devices.count() > 1 and devices.leads():
        devices.agreed(lambda: None)


def _together(work: str, job: Job, progress: Progress) -> Job:
    module, _, function = work.partition(":")
    with devices.together():
        result: Job = getattr(importlib.import_module(module), function)(job, progress)
    gc.collect()  # of what the trainer leaves in cycles, the next job's memory would be full
    return result


def _run_in_ray(work: str, job: str) -> str:
    """Body of a Ray task: one local worker, forked from a server that stays loaded in between."""
    try:
        return json.dumps(Local(1).answers(work, [json.loads(job)], lambda _: None)[0])
    except ParsimonyError as error:
        return json.dumps({"error": "ParsimonyError", "text": str(error)})


def _child(connection: Connection, work: str, job: str) -> None:
    """Body of a local worker process."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us

    def progress(units: float) -> None:
        connection.send_bytes(json.dumps({"progress": units}).encode())

    connection.send_bytes(_answer(work, job, progress).encode())
    connection.close()


def _answer(work: str, job: str, progress: Progress) -> str:
    """Run one job; its result or its error as JSON."""
    module, _, function = work.partition(":")
    hush()  # a bar may be on the terminal
    try:
        result = getattr(importlib.import_module(module), function)(json.loads(job), progress)
        return json.dumps({"result": result}, allow_nan=False)
    except ParsimonyError as error:
        # A class from elsewhere arrives as the nearest class of the tree: same exit code.
        kinds = [c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__]
        return json.dumps({"error": kinds[0], "text": str(error)})
    except Exception:
        return json.dumps({"error": "bug", "text": traceback.format_exc()})


def _results(answers: dict[int, Job], count: int) -> list[Job]:
    for index in range(count):
        answer = answers[index]
        if answer.get("error") == "bug":
            raise RuntimeError(f"a worker failed:\n{answer['text']}")
        if "error" in answer:
            raise getattr(errors, answer["error"]).from_text(answer["text"])
    return [answers[index]["result"] for index in range(count)]


def _died(how: str) -> ParsimonyError:
    return ParsimonyError(
        f"a worker died {_ATTEMPTS} times on the same job",
        got=how,
        hint="Out of memory? Try fewer --workers or a memory= budget",
    )


def _die_with_parent() -> None:
    """End this process when the one that asked for the work is gone, even if killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
