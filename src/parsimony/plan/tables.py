"""Read a table of runs for a law: columns renamed, rows chosen; the row numbers stay the file's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from parsimony.core.data.files import read_table, require_column
from parsimony.core.errors import DataError, InputError

if TYPE_CHECKING:
    import pandas as pd


def pairs(text: str, option: str) -> dict[str, str]:
    """``"N=params,D=tokens"`` as a mapping.

    Raises:
        InputError: a part that is no pair.
    """
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = part.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise InputError(f"{option} takes pairs such as N=params,D=tokens", got=part)
        found[name.strip()] = value.strip()
    return found


def read(path: Path, columns: str = "", where: str = "") -> pd.DataFrame:
    """Read a CSV, TSV, JSONL, JSON or Parquet file.

    Args:
        path: the file.
        columns: the law's names of columns, such as ``"N=params,D=tokens"``.
        where: values that rows must have, such as ``"corpus=c4"``.

    Raises:
        DataError: the file cannot be read, a column is not there, or no row is left.
        InputError: a part of ``columns`` or ``where`` is no pair.
    """
    table = read_table(path)
    for name, value in pairs(where, "--where").items():
        require_column(table, name, str(path))
        table = table[table[name].astype(str) == value]
        if table.empty:
            raise DataError("no row has this value", file=path, column=name, got=value)
    chosen = pairs(columns, "--columns")
    for column in chosen.values():
        require_column(table, column, str(path))
    return table.assign(**{name: table[c] for name, c in chosen.items()}).rename_axis("row")
