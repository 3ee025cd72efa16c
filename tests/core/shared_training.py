"""Jobs that the processes of a torchrun do together: ``shared_training.py JOBS``.

JOBS is a JSON file with a list of jobs of ``train``. Started by ``test_several_devices.py``, which
imports it too, to do the same in one process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
from torch import nn

from parsimony.core import devices, training, workers
from parsimony.core.events import read_events


def train(job: dict[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Train one of the tiny models; the process of rank ``kill[0]`` dies after step ``kill[1]``.

    Returns:
        The losses of all steps.
    """
    task = job["task"]
    model: nn.Module = tiny.gpt2() if task == "causal-lm" else tiny.bert()
    if job.get("dropout"):
        model = tiny.lora(model)
    for module in model.modules():
        if isinstance(module, nn.Dropout) and not job.get("dropout"):
            module.p = 0.0
    rank, last = job.get("kill", (None, 0))

    def on_step(step: int) -> None:
        if os.environ.get("RANK") == str(rank) and step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    folder = Path(job["folder"])
    rows, settings = tiny.rows(job.get("rows", 40)), tiny.settings(**job["settings"])
    training.train(
        model, rows, tiny.collator(task), settings, folder, on_step=on_step,
        evaluate=lambda _, step: 1 / step, evaluate_at=frozenset({3, 8}),
        keep=job.get("keep", False),
    )  # fmt: skip
    events = read_events(folder / "events.jsonl")
    return {"loss": [event["loss"] for event in events if "loss" in event]}


def main(jobs: Path) -> None:
    if not devices.leads():
        workers.follow()
        return
    asked = json.loads(jobs.read_text())
    found = workers.engine("local", 1).map("shared_training:train", asked, lambda _: None)
    jobs.with_suffix(".answers.json").write_text(json.dumps(found))
    workers.dismiss()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
