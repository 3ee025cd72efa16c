"""One run of an algorithm at a time, each in a process of its own, under a Python of choice.

A worker serves orders from stdin; a fork of it carries out each, so that no run finds what another
left behind. It needs torch and transformers, not parsimony: a peer's Python can be the worker's.
Linux only, where a process can be asked how large it was at most.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

BRIEF = 8  # windows of a run that only warms up
Run = Callable[[Any, Any, str], None]
"""Compresses a model in place: (model, token ids to calibrate with, what to do)."""


class Order(NamedTuple):
    """What a worker is asked to do.

    Attributes:
        model: folder of it.
        windows: safetensors file with the token ids ``calibration`` and ``held_out``.
        what: for the worker to read; empty for nothing.
    """

    model: str
    windows: str
    what: str


class Found(NamedTuple):
    """What came of an order.

    Attributes:
        seconds: of processor time, of the algorithm alone.
        growth: bytes by which the process was larger at the algorithm's peak than before it.
        loss: nats per token of the compressed model on the held-out windows.
    """

    seconds: float
    growth: int
    loss: float


class WorkerError(Exception):
    """A worker that cannot be started, or an order that it could not carry out."""


class Worker:
    """A worker's other end; a context.

    Args:
        python: the worker's.
        script: what it runs; it calls ``serve``.

    Attributes:
        versions: what the worker says of itself.

    Raises:
        WorkerError: it does not start.
    """

    def __init__(self, python: str, script: Path) -> None:
        foreign = () if python == sys.executable else ("PYTHONPATH", "PYTHONHOME")
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed on leaving
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the caller names
                [python, str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={k: v for k, v in os.environ.items() if k not in foreign},
            )
        except OSError as error:
            raise WorkerError(str(error)) from None
        self.versions: dict[str, str] = self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._errors.close()

    def __call__(self, order: Order) -> Found:
        """Have an order carried out.

        Raises:
            WorkerError: it failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Found(**self._answer())

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read().strip().rpartition("\n")[2]
            raise WorkerError(last or "it ended without a word")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise WorkerError(found["error"])
        return found


def serve(run: Run, versions: dict[str, str]) -> None:
    """Be a worker until stdin ends.

    Args:
        run: the algorithm; a function of the script's own.
        versions: told first.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    print(json.dumps(versions), file=answers, flush=True)
    warm = set()
    for line in sys.stdin:
        order = Order(*json.loads(line))
        try:
            if order.what not in warm:  # what is loaded or compiled once counts for nobody
                _carry_out(order, run, BRIEF)
                warm.add(order.what)
                gc.collect()
                ctypes.CDLL(None).malloc_trim(0)  # else a fork would find room to grow into
            with ProcessPoolExecutor(1, get_context("fork")) as fork:
                answer = fork.submit(_carry_out, order, run).result()._asdict()
        except Exception as error:  # for the other end to tell
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _carry_out(order: Order, run: Run, most: int | None = None) -> Found:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(order.model, dtype="float32").eval()
    windows = load_file(order.windows)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _resident("VmRSS"), time.process_time()
    if order.what:
        run(model, windows["calibration"][:most], order.what)
    seconds = time.process_time() - start
    growth = _resident("VmHWM") - before
    return Found(seconds, growth, loss(model, windows["held_out"][:most]))


def _resident(which: str) -> int:
    """Bytes of this process in memory: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def loss(model: Any, windows: Any) -> float:
    """Mean nats per token of windows, [rows, window]."""
    import torch

    with torch.inference_mode():
        losses = [
            torch.nn.functional.cross_entropy(
                model(input_ids=ids).logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
            )
            for ids in windows.split(16)
        ]
    return float(torch.cat(losses).double().mean())
