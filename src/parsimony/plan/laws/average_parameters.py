"""The average-parameter law: the Chinchilla form at the parameter count averaged over training.

``L(N_avg, D) = E + A / N_avg^alpha + B / D^beta`` for models that are pruned while they train (Jin
et al. 2025, arXiv 2501.12486); N_avg of a dense run is N, so one fit serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from parsimony.core.fitting.law import Array, Columns
from parsimony.plan.laws.chinchilla import Chinchilla

if TYPE_CHECKING:
    import pandas as pd

FEW_RUNS = 8
"""Fewer do not tell alpha from beta."""


class AverageParameters(Chinchilla):
    """Chinchilla's law with N replaced by the mean over all steps of the active parameters."""

    name = "average-parameters"
    formula = "L = E + A / N_avg^alpha + B / D^beta"
    source = "Jin et al. 2025, arXiv 2501.12486"
    columns = ("N_avg", "D")
    terms = (("a", {"N_avg": "alpha"}), ("b", {"D": "beta"}), ("e", {}))
    reach: ClassVar[Mapping[str, float]] = {"N_avg": 100.0, "D": 100.0, "C": 1000.0}

    def check(self, table: pd.DataFrame, file: str) -> tuple[str, ...]:
        """As every law of the loss, with a note where the runs are few."""
        notes = super().check(table, file)
        if len(table) < FEW_RUNS:
            notes += (
                f"{len(table)} runs are fewer than {FEW_RUNS}: they hardly tell alpha from beta, "
                "and the intervals say how little",
            )
        return notes

    def extents(self, x: Columns) -> dict[str, Array]:
        """The columns, and the compute C = 6 N_avg D."""
        return {"N_avg": x["N_avg"], "D": x["D"], "C": 6.0 * x["N_avg"] * x["D"]}
