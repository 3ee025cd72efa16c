"""Run folders made without training: random adapters, made-up scores, everything else real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save

from parsimony.adapt import outcome, solve, workflow
from parsimony.adapt.search import Outcome
from parsimony.adapt.setup import Candidate, Plan, Setup
from parsimony.adapt.trial import folder_of, save_artifact
from parsimony.core import artifacts
from parsimony.core.budget import Budget
from parsimony.core.data import TaskData, dialogues
from parsimony.core.pretrained import NEXT_TOKEN
from parsimony.core.run import Run
from parsimony.core.scoring import METRICS
from parsimony.testing import tiny

SPEED = solve.Calibration(startup=1.0, per_flop=1e-9, row=1e-3, overhead=2.0**20)
KINDS = ("bug", "thanks", "wish")
STEPS = 8
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Made:
    """A complete run and what it was made from."""

    folder: Path
    model: Path
    plan: Plan
    result: dict[str, Any]

    @property
    def origin(self) -> dict[str, Any]:
        """``parsimony.json`` of what the run hands over."""
        name = self.result["recommendation"]["artifact"]
        found: dict[str, Any] = artifacts.read_json(self.folder / name / "parsimony.json")
        return found


Scores = Callable[[str, str, int], np.ndarray]


def made_up(method: str, split: str, seed: int) -> np.ndarray:
    """Twelve scores that no method does better on than another."""
    return np.random.default_rng(seed).integers(0, 2, 12).astype(np.float64)


def make(
    home: Path,
    methods: dict[str, int],
    *,
    task: str = "text-classification",
    text: tuple[str, ...] = ("note",),
    scores: Scores = made_up,
    diverged: tuple[str, ...] = (),
    model: Path | None = None,
    complete: bool = True,
) -> Made:
    """A run below ``home`` whose finalists are ``methods`` (size by name), in this order."""
    path = model or tiny.write(home / "model")
    labels = KINDS if task.endswith("classification") else ()
    setup = replace(
        tiny.setup(path, task, labels, window=24),
        text=text, label=None if task in NEXT_TOKEN else "kind", fingerprint="f" * 64,
        folder=home / "run" / "data",
    )  # fmt: skip
    plan = Plan(
        setup=setup,
        candidates=tuple(
            Candidate(f"{number:03d}-{name}", name, size, 1e-3, 0.0)
            for number, (name, size) in enumerate(methods.items())
        ),
        steps=STEPS, rungs=(1, 3), keep=1 / 3, finalists=len(methods), seeds=SEEDS,
    )  # fmt: skip
    run = Run.create(home / "run", {"seed": {"value": 0, "source": "default"}}, 0)
    _write_data(setup)
    plan.write(run.folder)
    run.write("prediction.json", _prediction(plan))
    outcomes = []
    for index, candidate in enumerate(plan.candidates):
        for seed in SEEDS:
            value = None
            if candidate.method not in diverged:
                value = _write_trial(plan, candidate, seed, run.folder, scores)
            outcomes.append(Outcome(index, len(plan.rungs), seed, STEPS, value, False))
    finalists = list(range(len(methods)))
    result = outcome.write(run, plan, Budget(), outcomes, finalists, METRICS[task])
    if complete:
        workflow.finish(run)
    return Made(run.folder, path, plan, result)


def texts(count: int = 12) -> list[str]:
    """Short texts, none like another."""
    words = ["crash", "please add", "great, thanks", "it fails", "would like"]
    return [f"{words[number % len(words)]} {number}" for number in range(count)]


def dialogue(text: str) -> list[dict[str, str]]:
    """A question and its answer."""
    return [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]


def _write_data(setup: Setup) -> None:
    columns: dict[str, list[Any]] = {"text": texts()}
    if setup.task == "instruction":
        columns = {"messages": [dialogues.dump(dialogue(text)) for text in texts()]}
    if len(setup.text) == 2:
        columns["text_pair"] = texts()[::-1]
    if setup.labels:
        columns["label"] = [number % len(setup.labels) for number in range(12)]
    elif setup.label is not None:
        columns["label"] = [number / 4 for number in range(12)]
    splits = dict.fromkeys(("train", "validation", "test"), pd.DataFrame(columns))
    found = TaskData(
        setup.data, setup.task, setup.text, setup.label, setup.labels, splits, (),  # type: ignore
        setup.fingerprint,
    )  # fmt: skip
    setup.inputs.keep(found, setup.folder, setup.window)


def _prediction(plan: Plan) -> dict[str, Any]:
    options = [solve.option(plan.setup, c.method, c.size) for c in plan.candidates]
    return {
        "options": {o.label: solve.predict(o, SPEED, STEPS, 48).as_dict() for o in options},
        "base_parameters": solve.base_parameters(plan.setup),
        "dropped": [],
        "seconds": 60.0,
        "data": {"name": "made up", "task": plan.setup.task, "fingerprint": "f" * 64,
                 "rows": {"train": 12, "validation": 12, "test": 12},
                 "classes": len(plan.setup.labels) or None, "notices": []},
    }  # fmt: skip


def _write_trial(plan: Plan, candidate: Candidate, seed: int, run: Path, scores: Scores) -> float:
    """Scores and artifact of a training to the end; the mean validation score."""
    folder = folder_of(run, candidate, seed)
    for split in ("validation", "test"):
        data = save({"scores": scores(candidate.method, split, seed)})
        artifacts.write_bytes(folder / "scores" / f"{split}-{STEPS}.safetensors", data)
    model = plan.setup.adapted(candidate.method, candidate.size, 0.0, seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    save_artifact(model, folder / "artifact")
    return float(scores(candidate.method, "validation", seed).mean())
