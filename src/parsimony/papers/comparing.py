"""Paired comparisons of methods of adaptation, for cards that claim one is as good as another.

Every arm is trained by the trials that ``parsimony adapt`` runs, on the same rows in the same
order, with the same seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement

if TYPE_CHECKING:
    import numpy as np

    from parsimony.adapt.setup import Setup


@dataclass(frozen=True)
class Arm:
    """One method with its settings.

    Attributes:
        method: its name.
        size: value of its size knob; 0 where it has none.
        learning_rate: peak.
    """

    method: str
    size: int
    learning_rate: float


def compare(
    arms: Mapping[str, Arm],
    *,
    steps: int,
    seeds: int = 3,
    model: str = "minilm",
    data: str = "stdlib-docs",
    limit: int | None = None,
    window: int = 32,
    batch: int = 16,
) -> dict[str, np.ndarray]:
    """Scores of each arm on the test rows; shape (seeds, rows).

    Args:
        arms: by the names that the result has.
        steps: optimizer steps of each training.
        seeds: of each arm.
        model: see ``core.pretrained.find``.
        data: see ``core.data.load``.
        limit: use this many rows of the data.
        window: longest input, in tokens of text or frames of sound.
        batch: rows per step.

    Raises:
        MissingExtraError: torch is not installed.
        ParsimonyError: an arm diverges.
    """
    require("torch", "adapt")
    from parsimony.adapt.setup import Candidate, Plan
    from parsimony.adapt.trial import folder_of, run_trial, scores_of
    from parsimony.core.errors import ParsimonyError

    candidates = {
        name: Candidate(f"arm-{number}", arm.method, arm.size, arm.learning_rate, dropout=0.0)
        for number, (name, arm) in enumerate(arms.items())
    }
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch)
        setup = _setup(run, model, data, limit, window, batch)
        plan = Plan(setup, tuple(candidates.values()), steps, (), 1.0, 0, tuple(range(seeds)))
        plan.write(run)
        scores = {}
        for number, (name, candidate) in enumerate(candidates.items()):
            rows = []
            for seed in plan.seeds:
                job = {"run": str(run), "candidate": number, "seed": seed, "stop": steps}
                result = run_trial(job, lambda _: None)
                if result["diverged"]:
                    raise ParsimonyError(f"{name}, seed {seed}: {result['diverged']}")
                rows.append(scores_of(folder_of(run, candidate, seed), "test", steps))
            scores[name] = require("numpy", "adapt").stack(rows)
    return scores


def advantage(
    scores: Mapping[str, np.ndarray], first: str, second: str, *, margin: float = 0.0, note: str
) -> Measurement:
    """How much better ``first`` is than ``second``; it holds where the interval is above -margin.

    Args:
        scores: of ``compare``, shares of right answers.
        first: an arm.
        second: the arm it is held against.
        margin: points that count as no worse; 0 to ask for better.
        note: what was the same for both, and what was not searched.
    """
    from parsimony.core.trials import paired

    a, b = scores[first], scores[second]
    gap = paired(a, b)
    return Measurement(
        100 * gap.estimate,
        (100 * gap.low, 100 * gap.high),
        f"{first} {a.mean():.1%}, {second} {b.mean():.1%}; {len(a)} seeds, paired; {note}",
        holds=100 * gap.low > -margin,
    )


def pretrain(
    model: Path,
    data: Path,
    *,
    steps: int,
    learning_rate: float,
    window: int,
    batch: int = 16,
) -> None:
    """Train a small model in full, in its own folder: a checkpoint where there is none to be had.

    Args:
        model: folder of a model with random weights; gets the trained ones.
        data: see ``core.data.load``.
        steps: optimizer steps.
        learning_rate: peak, of all weights.
        window: see ``compare``.
        batch: rows per step.
    """
    require("torch", "adapt")
    from parsimony.core.training import TrainSettings, train

    with tempfile.TemporaryDirectory() as scratch:
        setup = _setup(Path(scratch), str(model), str(data), None, window, batch)
        trained = setup.adapted("full", 0, 0.0, seed=0)
        settings = TrainSettings(learning_rate, steps, batch_size=batch)
        train(trained, setup.rows("train"), setup.collator, settings, Path(scratch) / "training")
        trained.save_pretrained(model)  # type: ignore[operator]


def _setup(run: Path, model: str, data: str, limit: int | None, window: int, batch: int) -> Setup:
    """The setup of a run in a folder, its data written there."""
    from parsimony.adapt.setup import Setup
    from parsimony.core.data import load
    from parsimony.core.pretrained import find

    found = load(data, limit=limit)
    setup = Setup(
        model=find(model),
        data=found.name,
        task=found.task,
        labels=found.labels,
        text=found.text,
        label=found.label,
        fingerprint=found.fingerprint,
        window=window,
        batch=batch,
        device="cpu",
        threads=1,
        folder=run / "data",
    )
    setup.inputs.keep(found, setup.folder, window)
    return setup
