"""What the processes of a torchrun do in ``test_adapt_devices.py``.

``devices_jobs.py methods JOBS`` trains every job of a JSON file. ``devices_jobs.py fail ARGUMENTS``
is the command line, except that the second process fails in the twelfth step that it takes.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from parsimony.adapt.method import method
from parsimony.cli import main
from parsimony.core import devices, training, workers
from parsimony.core.errors import DataError
from parsimony.core.events import read_events
from parsimony.core.scoring import EncodedRows
from parsimony.testing import tiny

TEXTS = ["plus", "minus 1", "ok", "zero no", "a longer one", "b", "nothing at all", "yes", "so"]


def train(job: dict[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Train the method ``job["method"]`` on the model in ``job["model"]``.

    Returns:
        The losses of all steps; nothing in the second process.
    """
    labels = () if job["task"] == "causal-lm" else ("bad", "good")
    setup = tiny.setup(Path(job["model"]), job["task"], labels)
    way = method(job["method"])
    model = setup.adapted(way.name, job["size"], 0.0, 0, job.get("base", "fp32"))
    rows = pd.DataFrame({"text": TEXTS, "label": [len(text) % 2 for text in TEXTS]})
    # Methods that change with the steps come to all they do; others need few to differ.
    steps = 12 if way.callbacks(model, 12) else 4
    low, high = way.rates(setup.facts)
    settings = training.TrainSettings((low * high) ** 0.5, steps, batch_size=4, **job["settings"])
    folder = Path(job["folder"])
    training.train(
        model, EncodedRows(rows if labels else rows[["text"]], setup.tokenizer, 16), setup.collator,
        settings, folder, head=setup.facts.head, scale=way.rate_scale,
        callbacks=way.callbacks(model, steps), keep=False,
    )  # fmt: skip
    return {"loss": [event["loss"] for event in read_events(folder / "events.jsonl")]}


def methods(jobs: Path) -> None:
    """Both processes on every job; the first writes the answers."""
    if not devices.leads():
        workers.follow()
        return
    found = workers.engine("local", 1).map(
        "devices_jobs:train", json.loads(jobs.read_text()), lambda _: None
    )
    jobs.with_suffix(".answers.json").write_text(json.dumps(found))
    workers.dismiss()


def fail(arguments: list[str]) -> None:
    """The command line; after the timed steps, a row is bad for the second process alone."""
    parts, own = itertools.count(1), devices.own

    def spoilt(batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        if not devices.leads() and next(parts) == 12:
            raise DataError("must be good", file="made up", row=5)
        return own(batch)

    devices.own = spoilt
    main(arguments)


if __name__ == "__main__":
    if sys.argv[1] == "methods":
        methods(Path(sys.argv[2]))
    else:
        fail(sys.argv[2:])
