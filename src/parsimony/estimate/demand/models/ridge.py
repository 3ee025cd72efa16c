"""Ridge regression on differences from the last value, shared by all series.

With z the scaled window and z_c its last value, the targets less z_c are linear in the inputs less
z_c:

    W = argmin sum w (t - z_c - (x - z_c) W)^2 + penalty |W|^2,   solved in closed form

No intercept: a constant window is forecast constant. It must beat naive where there is a trend.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parsimony.estimate.demand.learning import Learned, Windows


class Ridge(Learned):
    """(context - 1) x horizon weights for all series. The task ``fair`` leaves it as it is.

    Args:
        context, horizon, validation, task, seed: see ``Learned``; nothing is drawn.
        penalty: as a share of the mean square of a difference.

    Attributes:
        weights_: W, shape (context - 1, horizon).
    """

    name: ClassVar[str] = "ridge"
    quick: ClassVar[bool] = True

    def __init__(
        self, context: int = 6, horizon: int = 3, validation: int = 3, task: str = "standard",
        seed: int = 0, penalty: float = 1e-3,
    ) -> None:  # fmt: skip
        super().__init__(context, horizon, validation, task, seed)
        self.penalty = penalty

    def _train(self, train: Windows, held: Windows, fair: bool) -> None:
        last = train.inputs[:, -1:]
        self.weights_ = solve(
            train.inputs[:, :-1] - last, train.targets - last, train.weights, self.penalty
        )
        self.parameters_ = self.weights_.size

    def _apply(self, inputs: np.ndarray) -> np.ndarray:
        last = inputs[:, -1:]
        return last + (inputs[:, :-1] - last) @ self.weights_


def solve(x: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Weighted ridge regression of each column of y, shape (inputs, outputs).

    Args:
        x: shape (rows, inputs).
        y, weights: shape (rows, outputs).
        penalty: as a share of the mean square of x.
    """
    columns = []
    for target, weight in zip(y.T, weights.T, strict=True):
        gram = x.T @ (weight[:, None] * x)
        # Without any difference (all constant) there is nothing to learn, and the answer is 0.
        gram += max(penalty * np.trace(gram) / len(gram), np.finfo(float).tiny) * np.eye(len(gram))
        columns.append(np.linalg.solve(gram, x.T @ (weight * target)))
    return np.stack(columns, axis=1)
