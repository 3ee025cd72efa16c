"""Published tables that claims are checked on and that are no part of parsimony."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from parsimony.core.errors import InputError, require

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "PARSIMONY_DATA"


class MissingTableError(InputError):
    """The table of a claim is not on this machine, which says nothing on the paper."""


def published(name: str, origin: str) -> pd.DataFrame:
    """Read a CSV or JSONL file from the folder that the environment variable PARSIMONY_DATA names.

    Args:
        name: of the file, below the folder.
        origin: repository and file it was taken from.

    Raises:
        MissingTableError: it is not there; says where to get it.
    """
    file = Path(os.environ.get(FOLDER, "")) / name
    if FOLDER not in os.environ or not file.is_file():
        raise MissingTableError(
            f"this claim needs the table {name}, from {origin}",
            hint=f"Set {FOLDER} to the folder that holds it",
        )
    pandas = require("pandas", "plan")
    if file.suffix == ".jsonl":
        from parsimony.core.data.files import read_table

        return read_table(file)
    table: pd.DataFrame = pandas.read_csv(file)
    return table
