"""Ridge on differences that also sees the mean window of a series' neighbours in a graph of skills.

With x the scaled window less its last value, and A the mean over neighbours, the targets less the
last value are linear in x and A x: one round of message passing, in closed form. It stands here for
the benchmark's graph models (EvolveGCN, Pre-DyGAE), whose graph of co-occurring skills it takes.
Its time and memory grow with the pairs, not with the square of the series.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.core.errors import InputError
from parsimony.estimate.demand.graph import Graph
from parsimony.estimate.demand.learning import Learned, Windows
from parsimony.estimate.demand.models.ridge import solve


class GraphRidge(Learned):
    """2 (context - 1) x horizon weights for all series; not for the task ``low``.

    Args:
        context, horizon, validation, task, seed: see ``Learned``; nothing is drawn.
        penalty: see ``ridge``.
        graph: of the series.
    """

    name: ClassVar[str] = "graph-ridge"
    quick: ClassVar[bool] = True
    needs_graph: ClassVar[bool] = True

    def __init__(
        self, context: int = 6, horizon: int = 3, validation: int = 3, task: str = "standard",
        seed: int = 0, penalty: float = 1e-3, graph: Graph | None = None,
    ) -> None:  # fmt: skip
        super().__init__(context, horizon, validation, task, seed)
        self.penalty, self.graph = penalty, graph

    def _train(self, train: Windows, held: Windows, fair: bool) -> None:
        series = len(self.history_)
        if self.graph is None or self.graph.mean.shape[0] != series:
            raise InputError("graph-ridge needs a graph of the series",
                             hint="Give one, or leave graph-ridge out")  # fmt: skip
        if len(train.inputs) % series or self.task == "low":
            raise InputError("graph-ridge is not for the task 'low': neighbours train too",
                             hint="Leave graph-ridge out")  # fmt: skip
        last = train.inputs[:, -1:]
        self.weights_ = solve(
            self._features(train.inputs), train.targets - last, train.weights, self.penalty
        )
        self.parameters_ = self.weights_.size

    def _apply(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, -1:] + self._features(inputs) @ self.weights_

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        """Own and neighbours' differences; rows are windows of all series, series fastest."""
        x = inputs[:, :-1] - inputs[:, -1:]
        parts = np.split(x, len(x) // len(self.history_))
        return np.hstack([x, np.concatenate([self.graph.mean @ part for part in parts])])
