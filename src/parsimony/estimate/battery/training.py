"""Training of one level: Adam on batches of fixed points, then L-BFGS on all of them at once.

Adam's rate is constant for the first half of the epochs and then falls exponentially. L-BFGS has a
strong Wolfe line search and a history of 50. All trained weights are one flat vector, so that the
state of either optimizer is a handful of tensors: a checkpoint is one safetensors file, written
atomically, and a training that was killed goes on from it to the same bytes.

Paper: arXiv 2312.17329, section 3.2 (3,000 epochs of ten batches, up to 10,000 iterations). What we
do differently: the line search replaces their reduced first steps and adapted rate. Fewer steps are
the default, because derivatives cost one pass here (``jets``) and L-BFGS does the work.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parsimony.core import artifacts
from parsimony.core.console import Console
from parsimony.core.errors import ArtifactError, InputError
from parsimony.estimate.battery import network
from parsimony.estimate.battery.losses import Data, Losses, Objective, Points
from parsimony.estimate.battery.surrogate import Surrogate

CHECKPOINT = "checkpoint.safetensors"
HISTORY = 50
"""Pairs that L-BFGS remembers."""
_CHUNK = 25  # L-BFGS iterations, and Adam epochs, between two checkpoints
_LISTS = ("old_dirs", "old_stps", "ro")


@dataclass(frozen=True)
class Plan:
    """How long, and on how many points, a level is trained.

    Args:
        adam: epochs of Adam.
        lbfgs: iterations of L-BFGS.
        batches: of an epoch.
        interior: points of a batch inside.
        boundary: points of a batch at the boundaries.
        rate: of Adam in the first half.
        last_rate: of Adam at the end.
        seed: of the weights and of the points.

    Raises:
        InputError: a count or rate out of range.
    """

    adam: int = 60
    lbfgs: int = 300
    batches: int = 10
    interior: int = 128
    boundary: int = 64
    rate: float = 1e-3
    last_rate: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("adam", 0), ("lbfgs", 0), ("batches", 1), ("interior", 1), ("boundary", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} must be {least} or more", got=value)
        if not 0 < self.last_rate <= self.rate:
            rates = (self.rate, self.last_rate)
            raise InputError("the rates need 0 < last_rate <= rate", got=rates)

    def rate_at(self, epoch: int) -> float:
        """Adam's rate in an epoch, counted from 0."""
        half = self.adam // 2
        if epoch < half:
            return self.rate
        share = (epoch - half) / max(1, self.adam - 1 - half)
        return self.rate * (self.last_rate / self.rate) ** share


@dataclass(frozen=True)
class Trained:
    """What a training found.

    Attributes:
        surrogate: with numpy weights.
        losses: of each epoch of Adam (the mean of its batches), then of every 25th step of L-BFGS.
        iterations: of L-BFGS; fewer than planned where the line search found nothing lower.
    """

    surrogate: Surrogate
    losses: list[float]
    iterations: int


def train(
    level: Surrogate,
    plan: Plan,
    losses: Losses | None = None,
    data: Data | None = None,
    *,
    folder: Path | None = None,
    console: Console | None = None,
    title: str = "training",
) -> Trained:
    """Train the weights of a level.

    Args:
        level: the formula, and the frozen level below; the weights are where training starts.
        plan: steps and points.
        losses: weights of the terms.
        data: simulated states.
        folder: for checkpoints; the training goes on from the one that is there.
        console: shows progress.
        title: of the progress bars.

    Raises:
        InputError: a loss that is not finite, with the term's name.
        ArtifactError: a checkpoint of another training.
    """
    losses = losses or Losses()
    level = level.torched()
    run = _Run(level, plan, losses, data, folder)
    console = console or Console(quiet=True)
    if run.epoch < plan.adam:
        with console.phase(f"{title}: Adam, {plan.adam} epochs", plan.adam) as phase:
            phase.advance(run.epoch)
            run.adam(phase.advance)
    if plan.lbfgs and not run.done:
        with console.phase(f"{title}: L-BFGS, {plan.lbfgs} steps", plan.lbfgs) as phase:
            phase.advance(run.iterations)
            run.lbfgs(phase.advance)
    weights = {k: v.detach().clone().numpy() for k, v in run.weights().items()}
    low = None if level.low is None else _in_numpy(level.low)
    return Trained(replace(level, weights=weights, low=low), run.history, run.iterations)


class _Run:
    """The state of one training."""

    def __init__(
        self, level: Surrogate, plan: Plan, losses: Losses, data: Data | None, folder: Path | None
    ) -> None:
        self.level, self.plan, self.losses, self.data = level, plan, losses, data
        self.file = folder / CHECKPOINT if folder is not None else None
        n = plan.batches
        self.points = Points.draw(level, n * plan.interior, n * plan.boundary, plan.seed)
        self.shapes = {
            name: shape
            for name, shape in network.shapes(level.kind).items()
            if name not in network.FIXED
        }
        self.theta = torch.cat([level.weights[name].reshape(-1) for name in self.shapes]).clone()
        self.theta.requires_grad_()
        self.epoch = self.iterations = 0
        self.done = False
        self.history: list[float] = []
        self.optimizer: dict[str, Tensor] = {}
        self.key = self._key()
        if self.file is not None and self.file.is_file():
            self._load(self.file)

    def weights(self) -> dict[str, Tensor]:
        """Views of the flat vector by name."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        pieces = self.theta.split(sizes)
        shaped = zip(self.shapes.items(), pieces, strict=True)
        found = {name: piece.view(shape) for (name, shape), piece in shaped}
        return found | {name: self.level.weights[name] for name in network.FIXED}

    def adam(self, advance: Any) -> None:
        plan = self.plan
        objectives = [
            Objective(
                self.level, self.losses, self.points.batch(i, plan.batches),
                self.data.batch(i, plan.batches) if self.data is not None else None,
            )
            for i in range(plan.batches)
        ]  # fmt: skip
        optimizer = torch.optim.Adam([self.theta], lr=plan.rate)
        if self.optimizer:
            optimizer.state[self.theta] = self.optimizer
        while self.epoch < plan.adam:
            optimizer.param_groups[0]["lr"] = plan.rate_at(self.epoch)
            total = 0.0
            for objective in objectives:
                optimizer.zero_grad()
                loss = objective.loss(self.weights())
                loss.backward()
                optimizer.step()
                total += loss.item()
            self.epoch += 1
            self.history.append(total / plan.batches)
            advance(1)
            if self.epoch == plan.adam:
                self.optimizer = {}
                self._save()
            elif self.epoch % _CHUNK == 0:
                self.optimizer = dict(optimizer.state[self.theta])
                self._save()

    def lbfgs(self, advance: Any) -> None:
        objective = Objective(self.level, self.losses, self.points, self.data)
        optimizer = torch.optim.LBFGS(
            [self.theta],
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
            max_eval=50 * _CHUNK,
            tolerance_grad=0.0,
            tolerance_change=1e-14,
        )
        if self.optimizer:
            optimizer.state[self.theta] = _unpacked(self.optimizer)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = objective.loss(self.weights())
            loss.backward()
            return loss.detach()

        while self.iterations < self.plan.lbfgs:
            until = min(_CHUNK, self.plan.lbfgs - self.iterations)
            optimizer.param_groups[0]["max_iter"] = until
            optimizer.step(closure)
            state = optimizer.state[self.theta]
            made = state["n_iter"] - self.iterations
            self.iterations = state["n_iter"]
            self.history.append(float(state["prev_loss"]))
            advance(made)
            self.done = made < until or self.iterations == self.plan.lbfgs
            self.optimizer = _packed(state)
            self._save()
            if self.done:
                return

    def _save(self) -> None:
        if self.file is None:
            return
        from safetensors.torch import save

        tensors = {f"optimizer/{name}": value for name, value in self.optimizer.items()}
        tensors |= {
            "theta": self.theta.detach(),
            "history": torch.tensor(self.history, dtype=torch.float64),
        }
        where = {"epoch": self.epoch, "iterations": self.iterations, "done": self.done}
        told = {"key": self.key, "where": json.dumps(where)}
        whole = {name: value.contiguous() for name, value in tensors.items()}
        artifacts.write_bytes(self.file, save(whole, told))

    def _load(self, file: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as stored:
                told = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except SafetensorError:
            raise ArtifactError(
                "a checkpoint must be safetensors", got=str(file), hint="Delete it and start anew"
            ) from None
        if told.get("key") != self.key:
            raise ArtifactError(
                "a checkpoint must be of the same training: cell, box, plan, losses and data",
                got=str(file), hint="Give the same settings, or another folder",
            )  # fmt: skip
        where = json.loads(told["where"])
        self.epoch, self.iterations, self.done = (
            where[name] for name in ("epoch", "iterations", "done")
        )
        self.history = tensors.pop("history").tolist()
        with torch.no_grad():
            self.theta.copy_(tensors.pop("theta"))
        self.optimizer = {k.removeprefix("optimizer/"): v for k, v in tensors.items()}

    def _key(self) -> str:
        """Fingerprint of all that decides the outcome."""
        digest = hashlib.sha256()
        for level in self.level.levels:
            told = (asdict(level.cell), asdict(level.box), level.kind, level.horizon, level.start)
            digest.update(artifacts.dumps(told).encode())
            for name in sorted(level.weights):
                digest.update(level.weights[name].numpy().tobytes())
        digest.update(artifacts.dumps((asdict(self.plan), asdict(self.losses))).encode())
        if self.data is not None:
            for value in vars(self.data).values():
                digest.update(value.numpy().tobytes())
        return digest.hexdigest()


def _packed(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state of L-BFGS as tensors."""
    found = {
        name: torch.as_tensor(state[name], dtype=torch.float64)
        for name in ("d", "t", "H_diag", "prev_flat_grad", "prev_loss")
    }
    found |= {name: torch.stack(state[name]) for name in _LISTS if state[name]}
    counts = [state["n_iter"], state["func_evals"]]
    return found | {"counts": torch.tensor(counts)}


def _unpacked(packed: Mapping[str, Tensor]) -> dict[str, Any]:
    """What ``_packed`` was given."""
    found: dict[str, Any] = {name: packed[name].clone() for name in ("d", "prev_flat_grad")}
    found |= {name: packed[name].item() for name in ("t", "H_diag", "prev_loss")}
    found |= {name: list(packed[name].unbind()) if name in packed else [] for name in _LISTS}
    found["n_iter"], found["func_evals"] = packed["counts"].tolist()
    return found


def _in_numpy(level: Surrogate) -> Surrogate:
    weights = {name: value.numpy() for name, value in level.weights.items()}
    low = None if level.low is None else _in_numpy(level.low)
    return replace(level, weights=weights, low=low)
