"""Choose a method on measured rows: limits on columns, the best of what keeps them, Pareto fronts.

The rows are a table of finished trainings, one a line, shaped like the results of peft's own method
comparison (``benchmark``, ``experiment``, ``mem_max_bytes``, ``train_time_s``, ...). They were
measured on some model and not on the user's, so every choice carries ``LABEL``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsimony.core.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

LABEL = "ranking of another model"


@dataclass(frozen=True)
class Choice:
    """What the rows say.

    Attributes:
        ranked: the rows that keep every limit, best first; ties in the table's order.
        rejected: by index of the row, why it does not.
        label: what kind of evidence this is.
    """

    ranked: pd.DataFrame
    rejected: dict[object, str]
    label: str = LABEL


def choose(
    rows: pd.DataFrame, best: str, limits: Mapping[str, float], *, largest: bool = True
) -> Choice:
    """Rank the rows that keep the limits.

    Args:
        rows: one training a row; at least one.
        best: column to rank by; rows without a figure there are rejected.
        limits: upper limit by column, in the column's unit; a row without a figure is rejected.
        largest: the largest value is the best one; the smallest otherwise.

    Raises:
        InputError: no such column; one that holds no numbers; no row keeps the limits, with the
            nearest limit that one does.
    """
    _check(rows, [best, *limits])
    rejected: dict[object, str] = {}
    for column in (best, *limits):
        for index in rows.index[rows[column].isna()]:
            rejected.setdefault(index, f"has no {column}")
    for column, limit in limits.items():
        for index, value in rows.loc[rows[column] > limit, column].items():
            rejected.setdefault(index, f"{column} {value:g} is more than {limit:g}")
    kept = rows.drop(index=list(rejected))
    if kept.empty:
        least = ", ".join(f"{column} {rows[column].min():g}" for column in limits)
        raise InputError(
            "no row keeps the limits", got=dict(limits), hint=f"The least there is: {least}"
        )
    ranked = kept.sort_values(best, ascending=not largest, kind="stable")
    return Choice(ranked, rejected)


def pareto(rows: pd.DataFrame, large: list[str], small: list[str]) -> pd.DataFrame:
    """The rows that no other beats: at least as good in every column and better in one.

    Args:
        rows: one training a row; those without a figure in one of the columns are left out.
        large: columns where more is better.
        small: columns where less is better.

    Raises:
        InputError: no such column, or none given; one that holds no numbers.
    """
    if not large and not small:
        raise InputError("a front needs at least one column", got=[])
    _check(rows, [*large, *small])
    complete = rows.dropna(subset=[*large, *small])
    values = complete[[*large, *small]].astype(float).to_numpy(copy=True)
    values[:, len(large) :] *= -1  # now more is better everywhere
    beaten = [
        bool(((values >= row).all(axis=1) & (values > row).any(axis=1)).any()) for row in values
    ]
    return complete[[not lost for lost in beaten]]


def _check(rows: pd.DataFrame, columns: list[str]) -> None:
    from pandas.api.types import is_numeric_dtype

    if rows.empty:
        raise InputError("a choice needs at least one row", got="an empty table")
    for column in columns:
        if column not in rows:
            raise InputError(f"there is no column '{column}'", hint=nearest(column, rows.columns))
        if not is_numeric_dtype(rows[column]):
            raise InputError("a column to compare holds numbers", got=column)
