"""When a model that is pruned while it trains loses its weights: the geometric schedule.

From step ``start`` to ``end``, every ``every`` steps, the same share of what is left is removed, so
that the density decays exponentially and ends at 1 - S (Jin et al. 2025, arXiv 2501.12486, and
their code); not the cubic schedule of Zhu and Gupta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parsimony.core.errors import InputError


def check_sparsity(sparsity: float) -> None:
    """Refuse what is no share in [0, 1); 0 is a dense training.

    Raises:
        InputError: such as 80 for 80 %.
    """
    if not 0 <= sparsity < 1:
        raise InputError(
            "sparsity is the share of the prunable weights that is removed, at least 0 and below 1",
            got=sparsity,
            hint=f"Is it {sparsity / 100:g}?" if 1 < sparsity < 100 else "Give 0.5, say",
        )


@dataclass(frozen=True)
class PruningSchedule:
    """The density of the prunable weights at every step.

    Attributes:
        sparsity: share S of the prunable weights that is gone at the end, in [0, 1).
        start: step of the first pruning, counted from 0; it is done before that step's update.
        end: step of the last pruning, a multiple of ``every`` after ``start``.
        total: steps of the training, at least ``end`` + 1.
        every: steps from one pruning to the next.

    Raises:
        InputError: a number that breaks its rule, with the nearest that keep it.
    """

    sparsity: float
    start: int
    end: int
    total: int
    every: int = 100

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        if self.every < 1:
            raise InputError("prunings must be at least 1 step apart", got=self.every)
        if self.start < 0:
            raise InputError("the first pruning must be at step 0 or later", got=self.start)
        span = self.end - self.start
        if span <= 0:
            raise InputError(
                f"the last pruning must come after the first, at step {self.start}",
                got=self.end,
                hint=f"The earliest is step {self.start + self.every}",
            )
        if span % self.every:
            below = self.end - span % self.every
            near = [step for step in (below, below + self.every) if step > self.start]
            raise InputError(
                f"from step {self.start} the last pruning must be a multiple of {self.every} steps "
                "away",
                got=self.end,
                hint=f"Nearest: {' or '.join(map(str, near))}",
            )
        if self.total <= self.end:
            raise InputError(
                f"the training must go on after the last pruning, at step {self.end}",
                got=self.total,
                hint=f"The shortest has {self.end + 1} steps",
            )

    @property
    def prunings(self) -> int:
        """How many there are: (end - start) / every + 1."""
        return (self.end - self.start) // self.every + 1

    @property
    def removed(self) -> float:
        """Share of what is left that each removes: 1 - (1 - S)^(1 / prunings)."""
        return float(1 - (1 - self.sparsity) ** (1 / self.prunings))

    def density(self, step: int) -> float:
        """Share of the prunable weights that the update of ``step`` works with."""
        done = min(max((step - self.start) // self.every + 1, 0), self.prunings)
        return float((1 - self.sparsity) ** (done / self.prunings))

    @property
    def average_density(self) -> float:
        """Mean of ``density`` over all steps: exact, in closed form over the prunings."""
        after = self.total - self.end
        return (self.steps_before_end + after * (1 - self.sparsity)) / self.total

    @property
    def compute(self) -> float:
        """Dense steps that cost as much as this training: the sum of ``density``."""
        return self.average_density * self.total

    @property
    def compute_shares(self) -> tuple[float, float]:
        """Shares of ``compute`` that are spent before the first and before the last pruning."""
        return self.start / self.compute, self.steps_before_end / self.compute

    @property
    def steps_before_end(self) -> float:
        """Sum of ``density`` over the steps before ``end``."""
        return self.start + self.every * float(self._kept[:-1].sum())

    @property
    def _kept(self) -> NDArray[np.float64]:
        """Density after each pruning, [prunings]."""
        done = np.arange(1, self.prunings + 1)
        return np.asarray((1 - self.sparsity) ** (done / self.prunings))
