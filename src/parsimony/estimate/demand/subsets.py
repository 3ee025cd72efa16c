"""Which series are hard: rare ones, and those with a structural break.

Rare (Job-SDF's low frequency): at most one month that is not zero, a rule that gives the published
lists back. Break: ``breaks.sup_f`` below a level, or the published list. Lists are JSON, positions
of rows from 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from parsimony.core import artifacts
from parsimony.core.errors import DataError
from parsimony.estimate.demand import breaks

LEVEL = 0.01
ALL, RARE, BREAK, STEADY = "all", "low-frequency", "structural-break", "non-break"


def low_frequency(values: np.ndarray) -> np.ndarray:
    """Whether at most one month is not zero; shape (series,)."""
    return (values != 0).sum(axis=1) <= 1


def structural_break(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Whether there is a break of level or trend at any date; shape (series,)."""
    return breaks.sup_f(values).p < level


def subsets(
    values: np.ndarray, rare: np.ndarray | None = None, broken: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The subsets to score on, by name, each a mask of shape (series,).

    Args:
        values: shape (series, months): all of them to report, the known ones to choose.
        rare, broken: masks that are known; found from the values where not given.
    """
    rare = low_frequency(values) if rare is None else rare
    broken = structural_break(values) if broken is None else broken
    return {ALL: np.ones(len(values), bool), RARE: rare, BREAK: broken, STEADY: ~broken}


def cells(values: np.ndarray) -> np.ndarray:
    """A partition to choose by, of the series as the known months show them: one label each."""
    broken = np.where(structural_break(values), BREAK, STEADY)
    return np.where(low_frequency(values), RARE, broken)


def read_index(file: Path, series: int) -> np.ndarray:
    """A published list as a mask of shape (series,).

    Raises:
        DataError: not a JSON list of positions of rows.
    """
    found = artifacts.read_json(file)
    whole = isinstance(found, list) and all(type(place) is int for place in found)
    if not whole or any(not 0 <= place < series for place in found):
        raise DataError(f"a list of series holds positions from 0 to {series - 1}", file=file,
                        hint="Use the list of the same level as the table")  # fmt: skip
    mask = np.zeros(series, bool)
    mask[found] = True
    return mask
