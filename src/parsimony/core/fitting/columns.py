"""Take the columns of a law out of a table, as floats, and refuse what cannot be right."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from parsimony.core.errors import DataError, nearest
from parsimony.core.fitting.law import Array

if TYPE_CHECKING:
    import pandas as pd

TABLE = "the table"


def positive(table: pd.DataFrame, names: Iterable[str], file: str = TABLE) -> dict[str, Array]:
    """Columns by name, [n] each, as floats: products of whole numbers such as 6ND overflow.

    Raises:
        DataError: no rows; a column is not there; a value is missing, no number or not positive.
    """
    if not len(table):
        raise DataError("a table needs at least one row", file=file)
    numbers = row_numbers(table)
    found = {}
    for name in names:
        if name not in table.columns:
            raise DataError(
                f"there is no column '{name}'",
                file=file,
                hint=f"{nearest(name, map(str, table.columns))}. Rename with --columns {name}=...",
            )
        values = [_number(value) for value in table[name]]
        for row, number, given in zip(numbers, values, table[name], strict=True):
            if not (math.isfinite(number) and number > 0):
                raise DataError(
                    "a law needs a positive number", file=file, row=row, column=name, got=given
                )
        found[name] = np.array(values)
    return found


def row_numbers(table: pd.DataFrame) -> list[int]:
    """How errors call the rows: by an index that is named ``row``, and else from 1."""
    if table.index.name == "row":
        return [int(row) for row in table.index]
    return list(range(1, len(table) + 1))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
