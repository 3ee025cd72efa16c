"""Forecasters that are trained: one map from ``context`` months to ``horizon``, for all series.

Inputs and targets are windows, standardised by the training months of each series; the last
``validation`` months of the history stop the training and touch neither scale nor weights.

The training loop is here and not ``transformers``' Trainer: a model has a few thousand weights and
an epoch takes well under a second, while the loss of a task needs weights by month and groups by
series. It is Adam with a rate that falls each epoch, as in the reference. Unlike it, a step has
single series, not all as channels of one, so the rate is larger and falls more slowly (it has 1e-4
and halves it); and the weights of the best epoch come back (``reload_best=False`` for its way).

What it cannot do: forecast beyond ``horizon``, except by feeding forecasts back, if asked.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError, require
from parsimony.estimate.demand import protocol, subsets
from parsimony.estimate.demand.forecaster import Forecaster
from parsimony.estimate.demand.tasks import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

_EVALUATED = 65536  # rows at once; any number gives the same forecasts


@dataclass(frozen=True, eq=False)
class Windows:
    """Scaled windows as rows: what a learned forecaster is trained on.

    Attributes:
        inputs: shape (rows, context).
        targets: shape (rows, horizon).
        weights: of each target, shape (rows, horizon).
        groups: code of each row, shape (rows,).
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    groups: np.ndarray


class Learned(Forecaster):
    """The base of the learned forecasters: windows, scale, tasks.

    Args:
        context, horizon: months in, months out.
        validation: months at the end of the history to stop by.
        task: see ``tasks``.
        seed: of weights and order.

    Attributes:
        scaler_: of the training months.
    """

    learned: ClassVar[bool] = True

    def __init__(
        self, context: int = 6, horizon: int = 3, validation: int = 3, task: str = "standard",
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.context, self.horizon, self.validation = context, horizon, validation
        self.task, self.seed = task, seed

    def fit(self, history: np.ndarray, groups: np.ndarray | None = None) -> Self:
        """Train on all windows before the last ``validation`` months.

        Raises:
            InputError: too few months; the task ``fair`` without groups, ``low`` without rare
            series.
        """
        super().fit(history, groups)
        task = Task.parse(self.task)
        if self.context < 2 or self.validation < self.horizon:
            raise InputError(
                f"{self.name} needs a context of 2 months and a validation of its horizon at least",
                got=(self.context, self.validation), hint="Give more of what is short",
            )  # fmt: skip
        train = self.history_.shape[1] - self.validation
        if train < self.context + self.horizon:
            raise InputError(
                f"{self.name} needs {self.context} + {self.horizon} + {self.validation} months to "
                f"train and stop; there are {self.history_.shape[1]}, which gives 0 windows",
                hint="Give more months, or a smaller context or horizon",
            )
        if task.name == "fair" and (groups is None or len(set(groups)) < 2):
            raise InputError("the task 'fair' needs two groups at least",
                             hint="Give a table with a key beside the skill")  # fmt: skip
        used = np.ones(len(self.history_), bool)
        if task.name == "low":
            used = subsets.low_frequency(self.history_)
            if not used.any():
                raise InputError("the task 'low' needs rare series, and there are none",
                                 hint="Use the task 'standard'")  # fmt: skip
        self.scaler_ = protocol.Scaler.of(self.history_[:, :train])
        scaled = self.scaler_.scale(self.history_)
        codes = np.zeros(len(used), int) if groups is None else pd.factorize(groups)[0]
        self._train(
            self._windows(scaled[used, :train], task.weights(train), codes[used]),
            self._windows(scaled[used, train - self.context :],
                          np.ones(self.context + self.validation), codes[used]),
            fair=task.name == "fair",
        )  # fmt: skip
        return self

    def update(self, history: np.ndarray) -> Self:
        """More months to start from; scale and weights stay."""
        self.history_ = np.asarray(history, np.float64)
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """The next months; beyond ``self.horizon`` is refused (see ``recursive``)."""
        if horizon > self.horizon:
            raise InputError(
                f"{self.name} is trained for {self.horizon} months", got=horizon,
                hint="Ask for recursive forecasts, or train for a longer horizon",
            )  # fmt: skip
        return super().predict(horizon)

    def recursive(self, horizon: int) -> np.ndarray:
        """Forecasts beyond the horizon, each step fed with those before it."""
        found = np.empty((len(self.history_), 0))
        kept = self.history_
        while found.shape[1] < horizon:
            self.history_ = np.hstack([kept, found])
            found = np.hstack([found, self.predict(self.horizon)])
        self.history_ = kept
        return found[:, :horizon]

    def _windows(self, scaled: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> Windows:
        """Windows of values of shape (series, months), as rows; series fastest."""
        inputs, targets, origins = protocol.windows(scaled, self.context, self.horizon)
        of_month = np.stack([weights[o : o + self.horizon] for o in origins])
        count, series = inputs.shape[:2]
        return Windows(
            inputs.reshape(count * series, -1), targets.reshape(count * series, -1),
            np.repeat(of_month, series, axis=0), np.tile(groups, count),
        )  # fmt: skip

    def _moving(self, series: np.ndarray, horizon: int) -> np.ndarray:
        scaled = self.scaler_.scale(self.history_)[:, -self.context :]
        return self.scaler_.back(self._apply(scaled))[series, :horizon]

    @abstractmethod
    def _train(self, train: Windows, held: Windows, fair: bool) -> None:
        """Learn the map."""

    @abstractmethod
    def _apply(self, inputs: np.ndarray) -> np.ndarray:
        """The map: (rows, context) to (rows, horizon), both scaled."""


class Network(Learned):
    """A learned forecaster that is a torch module.

    Args:
        context, horizon, validation, task, seed: see ``Learned``.
        epochs: at most.
        rate: of Adam in the first epoch; each later one has ``decay`` of the one before.
        decay: in (0, 1].
        batch: rows (windows of single series) of a step.
        rows: of an epoch at most, drawn anew for each, which bounds the time on many series.
        patience: epochs without a better validation loss before it stops.
        reload_best: end with the weights of the best epoch.

    Attributes:
        network_: the module.
        losses_: training and validation loss of each epoch, shape (epochs, 2).
        best_epoch_: counted from 0.
    """

    def __init__(
        self, context: int = 6, horizon: int = 3, validation: int = 3, task: str = "standard",
        seed: int = 0, epochs: int = 20, rate: float = 3e-3, decay: float = 0.7, batch: int = 512,
        rows: int = 65536, patience: int = 3, reload_best: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(context, horizon, validation, task, seed)
        self.epochs, self.rate, self.decay, self.batch = epochs, rate, decay, batch
        self.rows, self.patience, self.reload_best = rows, patience, reload_best

    @abstractmethod
    def build(self) -> nn.Module:
        """The module, from (rows, context) to (rows, horizon)."""

    def _train(self, train: Windows, held: Windows, fair: bool) -> None:
        torch = require("torch", "estimate")
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.network_ = self.build()
            self.losses_, self.best_epoch_ = train_network(self, train, held, fair)
        self.parameters_ = sum(p.numel() for p in self.network_.parameters())

    def _apply(self, inputs: np.ndarray) -> np.ndarray:
        torch = require("torch", "estimate")
        self.network_.eval()
        with torch.no_grad():
            parts = torch.from_numpy(inputs.astype(np.float32)).split(_EVALUATED)
            return torch.cat([self.network_(part) for part in parts]).numpy().astype(np.float64)


def train_network(
    settings: Network, train: Windows, held: Windows, fair: bool
) -> tuple[np.ndarray, int]:
    """Adam on the weighted squared error; stops early; the one training loop of this area.

    Args:
        settings: its ``network_`` is trained in place.
        train, held: to learn from, to stop by.
        fair: add the variance over groups of their mean absolute error in the batch.

    Returns:
        training and validation loss of each epoch, and the best epoch.
    """
    torch = require("torch", "estimate")
    network = settings.network_
    inputs, targets, weights, late, wanted = (
        torch.from_numpy(np.ascontiguousarray(part, np.float32))
        for part in (train.inputs, train.targets, train.weights, held.inputs, held.targets)
    )
    groups = torch.from_numpy(train.groups)
    adam = torch.optim.Adam(network.parameters(), settings.rate)
    slower = torch.optim.lr_scheduler.ExponentialLR(adam, settings.decay)
    losses: list[tuple[float, float]] = []
    best, kept = 0, None
    for epoch in range(settings.epochs):
        network.train()
        total = 0.0
        drawn = torch.randperm(len(inputs))[: settings.rows]
        for rows in drawn.split(settings.batch):
            error = network(inputs[rows]) - targets[rows]
            loss = (weights[rows] * error**2).mean()
            if fair:
                loss = loss + _spread(error, groups[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(rows)
        slower.step()
        losses.append((total / len(drawn), _loss(network, late, wanted)))
        if losses[-1][1] < losses[best][1] or epoch == 0:
            best = epoch
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        elif epoch - best >= settings.patience:
            break
    if settings.reload_best and kept is not None:
        network.load_state_dict(kept)
    return np.array(losses), best


def _loss(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    torch = require("torch", "estimate")
    network.eval()
    with torch.no_grad():
        parts = zip(inputs.split(_EVALUATED), targets.split(_EVALUATED), strict=True)
        total = sum(((network(x) - y) ** 2).sum().item() for x, y in parts)
    return total / targets.numel()


def _spread(error: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Variance of the groups' mean absolute errors."""
    torch = require("torch", "estimate")
    _, codes = groups.unique(return_inverse=True)
    sums = torch.zeros(int(codes.max()) + 1).index_add(0, codes, error.abs().mean(1))
    return (sums / codes.bincount()).var(unbiased=False)
