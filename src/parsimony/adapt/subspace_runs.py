"""The intrinsic dimension of fine-tuning a model on data: ``parsimony adapt intrinsic``.

theta is every tensor of the model, its freshly drawn task head included; see ``Subspace``.
Scores are those of the validation split.
"""

from __future__ import annotations

import functools
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from parsimony.adapt import search
from parsimony.adapt.intrinsic_dimension import Measured, measure_intrinsic_dimension
from parsimony.adapt.method import method
from parsimony.adapt.methods.subspace import Subspace
from parsimony.adapt.methods.subspace.projections import known
from parsimony.adapt.setup import Setup
from parsimony.adapt.workflow import Request, read
from parsimony.core import cost, inputs, pretrained, scoring, training
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.core.scoring import METRICS


@dataclass(frozen=True)
class Settings:
    """How to measure; the answer depends on all of it.

    Attributes:
        kind: of the projection, see ``SubspaceConfig.projection``.
        learning_rate: of v.
        direct_learning_rate: of direct training.
        epochs: passes over the training rows.
        seeds: runs of each d.
        start: first d.
        precision: see ``measure_intrinsic_dimension``.
        fraction: of the way from no training (0 for an accuracy) to direct training.
        baseline: instead of direct training's score; direct training is then not run.
    """

    kind: str = "sparse"
    learning_rate: float = 2e-2
    direct_learning_rate: float = 1e-4
    epochs: float = 3.0
    seeds: int = 2
    start: int = 16
    precision: float = 1.5
    fraction: float = 0.9
    baseline: float | None = None

    def __post_init__(self) -> None:
        known(self.kind)
        for name in ("learning_rate", "direct_learning_rate", "epochs", "seeds"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be positive", got=getattr(self, name))


def measure(
    request: Request, settings: Settings, console: Console
) -> tuple[Measured, dict[str, Any]]:
    """Train directly and in subspaces, and look.

    Args:
        request: model, data and shape of the batches; what else it holds is not used.
        settings: see ``Settings``.
        console: told of every run.

    Returns:
        The measurement, and what it was made with: ``D``, ``steps``, ``metric`` and all settings.
    """
    with tempfile.TemporaryDirectory() as scratch:
        setup, rows, _ = read(request, Path(scratch), console)
        runs = _Runs(
            setup, settings, search.total_steps(rows["train"], setup.batch, settings.epochs)
        )
        metric = METRICS[setup.task]
        seeds = [request.seed + number for number in range(settings.seeds)]
        reference = None if metric.higher_is_better else runs.untrained(seeds)
        console.say(f"D = {runs.D} parameters, {runs.steps} steps a run")
        measured = measure_intrinsic_dimension(
            runs.score,
            runs.D,
            seeds=seeds,
            start=settings.start,
            precision=settings.precision,
            fraction=settings.fraction,
            baseline=settings.baseline,
            reference=reference,
            greater_is_better=metric.higher_is_better,
            on_run=lambda d, seed, score: console.say(
                f"  {f'd = {d}' if d else 'direct'}, seed {seed}: {metric.name} {score:.4g} "
                f"({runs.seconds:.0f} s)"
            ),
        )
    made = {
        **asdict(settings),
        "model": setup.model.name,
        "data": setup.data,
        "fingerprint": setup.fingerprint,
        "metric": metric.name,
        "D": runs.D,
        "steps": runs.steps,
        "batch": setup.batch,
        "window": setup.window,
        "optimizer": "AdamW, linear warm-up and decay",
        "seeds": seeds,
    }
    return measured, made


class _Runs:
    """Trains the model, directly or in a subspace, and scores it."""

    def __init__(self, setup: Setup, settings: Settings, steps: int) -> None:
        self.setup, self.settings, self.steps = setup, settings, steps
        self.seconds = 0.0

    @functools.cached_property
    def D(self) -> int:  # noqa: N802 - the paper's name
        config, task = self.setup.facts.config, self.setup.task
        meta = cost.on_meta(lambda: pretrained.build(config, task).requires_grad_(True))
        return cost.count(meta)[1]

    def _model(self, seed: int) -> nn.Module:
        setup = self.setup
        frames = inputs.frames_of(setup.task, setup.window)
        model = pretrained.load(setup.model, setup.task, setup.labels, seed, frames)
        return model.requires_grad_(True)

    def _validate(self, model: nn.Module) -> float:
        setup = self.setup
        rows = setup.rows("validation")
        return float(scoring.score(model, rows, setup.collator, setup.task).scores.mean())

    def untrained(self, seeds: list[int]) -> float:
        """Mean score before any training."""
        scores = [self._validate(self._model(seed).to(self.setup.device)) for seed in seeds]
        return sum(scores) / len(scores)

    def score(self, d: int, seed: int) -> float:
        """The score after training in d dimensions; 0: directly."""
        setup, chosen = self.setup, self.settings
        began = time.perf_counter()
        model = self._model(seed)
        if d:
            model = Subspace(model, d, chosen.kind, seed)
        model.to(setup.device)
        rate = chosen.learning_rate if d else chosen.direct_learning_rate
        with tempfile.TemporaryDirectory() as scratch:
            training.train(
                model,
                setup.rows("train"),
                setup.collator,
                training.TrainSettings(
                    learning_rate=rate,
                    head_learning_rate=method("full").head_rate(setup.facts, rate),
                    steps=self.steps,
                    batch_size=setup.batch,
                    seed=seed,
                    threads=setup.threads,
                    device=setup.device,
                ),
                Path(scratch),
                head=() if d else setup.facts.head,
                keep=False,
            )
        found = self._validate(model)
        self.seconds = time.perf_counter() - began
        return found
