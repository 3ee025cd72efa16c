"""Encoded rows in an Arrow file that every training maps, so that its memory does not hold them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch.utils.data import Dataset

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, require

_BATCH = 1000  # rows written at a time


class StoredRows(Dataset[dict[str, Any]]):
    """Rows of a file that ``write`` made, read from disk when asked for.

    Args:
        file: the file; not changed while it is in use.
        limit: only its first rows.

    Raises:
        ArtifactError: the file is missing or not whole.
    """

    def __init__(self, file: Path, limit: int | None = None) -> None:
        datasets = require("datasets", "adapt")
        try:
            self._rows = datasets.Dataset.from_file(str(file))
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(
                f"the encoded rows in {file} must be readable ({error})",
                hint="Start the run anew",
            ) from error
        self._count = len(self._rows) if limit is None else min(limit, len(self._rows))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._count:
            raise IndexError(index)
        row: dict[str, Any] = self._rows[index]
        return row


def write(rows: Iterable[dict[str, Any]], file: Path) -> None:
    """Write rows of equal keys, whole or not at all; at most ``_BATCH`` of them are in memory.

    Args:
        rows: at least one; values are lists of int, ints or floats, as the model takes them.
        file: its parent is made if need be.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    rows = iter(rows)
    batch = list(itertools.islice(rows, _BATCH))
    schema = pa.schema([(key, _type(value)) for key, value in batch[0].items()])
    with temporary.open("wb") as stream:
        with pa.ipc.new_stream(stream, schema) as writer:
            while batch:
                columns = [pa.array([row[f.name] for row in batch], f.type) for f in schema]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
                batch = list(itertools.islice(rows, _BATCH))
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    artifacts.sync_folder(file.parent)


def _type(value: Any) -> pa.DataType:
    if isinstance(value, list):
        return pa.list_(pa.int32())
    return pa.float64() if isinstance(value, float) else pa.int64()
