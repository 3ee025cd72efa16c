"""Choice by rolling origins before the test: for each kind of series, the best few, weighed.

Series are parted into rare, broken and other by the known months alone (a level above them is a
part of its own). In each cell the candidates
are ordered by their MAE over the rolling origins of ``Protocol.choosing``; the best ``keep`` make
an ensemble whose weights go as 1 / MAE. No test month is seen: more months are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError
from parsimony.estimate.demand import subsets
from parsimony.estimate.demand.protocol import Protocol

ENSEMBLE = "ensemble"
KEEP = 3


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen.

    Attributes:
        cells: label of each series, shape (series,).
        errors: MAE on the rolling origins; a row for each candidate, a column for each cell.
        weights: of the ensemble, same shape; each column sums to 1.
    """

    cells: np.ndarray
    errors: pd.DataFrame
    weights: pd.DataFrame

    def combine(self, forecasts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The ensemble of forecasts, each of shape (series, ...)."""
        first = next(iter(forecasts.values()))
        found = np.zeros_like(first)
        for cell in self.weights:
            rows = self.cells == cell
            for name, weight in self.weights[cell].items():
                if weight:
                    found[rows] += weight * forecasts[str(name)][rows]
        return found


def select(
    values: np.ndarray,
    forecasts: Mapping[str, np.ndarray],
    protocol: Protocol,
    keep: int = KEEP,
    cells: np.ndarray | None = None,
) -> Selection:
    """Choose by forecasts of the rolling origins.

    Args:
        values: the known months, shape (series, known); no more.
        forecasts: of each candidate at ``protocol.choosing()``, shape (series, windows, horizon).
        protocol: of the table.
        keep: members of the ensemble in each cell.
        cells: label of each series, shape (series,); ``subsets.cells`` of the values if not given.

    Raises:
        InputError: test months among the values; nothing to choose from.
    """
    protocol.refuse_leak(values, "choice", protocol.known)
    if not forecasts or keep < 1:
        raise InputError("a choice needs a candidate", got=(list(forecasts), keep))
    actual = protocol.targets(values, protocol.choosing())
    cells = subsets.cells(values) if cells is None else cells
    errors = pd.DataFrame(
        {
            cell: {
                name: float(np.abs(found - actual)[cells == cell].mean())
                for name, found in forecasts.items()
            }
            for cell in sorted(set(cells))
        }
    )
    weights = pd.DataFrame(0.0, index=errors.index, columns=errors.columns)
    for cell in errors:
        best = errors[cell].sort_values(kind="stable").head(keep)
        # A cell without demand may be forecast without error: then those without share it.
        inverse = (best == 0).astype(float) if (best == 0).any() else 1 / best
        weights.loc[best.index, cell] = inverse / inverse.sum()
    return Selection(cells, errors, weights)
