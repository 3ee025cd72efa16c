"""Read every supported table format into one shape.

A table is a pandas frame of object columns that hold plain Python values exactly as given: CSV
and TSV cells are strings ("01" stays "01", "NA" stays "NA"), an empty cell is ``None``. The index
is the 1-based data row (a header is not a row), so that every later check can name the row.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from parsimony.core.errors import DataError, nearest, require

_FIELD_LIMIT = 2**31 - 1  # the csv module's default of 128 KiB is less than a long document


def read_rows(source: str | Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table to predict on, all values as given.

    Args:
        source: a CSV, TSV, JSONL, JSON or Parquet file, or ``"-"`` for standard input, whose
            format is recognised by its first bytes.
        columns: the columns to return, in this order; all when ``None``.

    Returns:
        A frame of object columns; its index is the 1-based data row.

    Raises:
        DataError: missing or unreadable file, bad content, or a missing column.
    """
    if str(source) == "-":
        name, data = "standard input", sys.stdin.buffer.read()
        table = _PARSERS[recognise(data)](data, name)
    else:
        name, table = str(source), read_table(Path(source))
    if columns is None:
        return table
    for column in columns:
        require_column(table, column, name)
    return table[list(columns)]


def read_table(path: Path) -> pd.DataFrame:
    """Read one file by its extension.

    Raises:
        DataError: the file is missing, unreadable, of an unknown format, empty or malformed.
    """
    parser = _PARSERS.get(path.suffix.lower())
    if parser is None:
        raise DataError(
            "the format of a data file is told by its extension",
            file=path,
            got=path.suffix,
            hint=f"Known: {', '.join(_PARSERS)}",
        )
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError("the file must exist", file=path, hint="Check the path") from None
    except OSError as error:
        raise DataError(f"the file must be readable ({error.strerror})", file=path) from None
    return parser(data, str(path))


def is_data_file(path: Path) -> bool:
    """Whether the extension is one ``read_table`` knows."""
    return path.suffix.lower() in _PARSERS


def require_column(table: pd.DataFrame, column: str, file: str) -> None:
    """Raise ``DataError`` with the nearest column when ``column`` is not in ``table``."""
    if column not in table.columns:
        raise DataError(
            f"there is no column '{column}'", file=file, hint=nearest(column, table.columns)
        )


def is_missing(value: object) -> bool:
    """``None``, a float NaN, or a string without a visible character."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and value != value)


def make_table(
    columns: dict[str, list[Any]], file: str, rows: Iterable[int] | None = None
) -> pd.DataFrame:
    """Build a frame of object columns indexed by data row; refuse one without rows."""
    count = len(next(iter(columns.values()), []))
    if not count:
        raise DataError("a data set needs at least one row", file=file, hint="The table is empty")
    index = pd.Index(range(1, count + 1) if rows is None else list(rows))
    return pd.DataFrame(
        {name: pd.Series(values, dtype=object, index=index) for name, values in columns.items()}
    )


def from_arrow(table: Any, file: str) -> pd.DataFrame:
    """Turn a ``pyarrow.Table`` into a frame of Python values."""
    names = table.column_names
    if len(set(names)) < len(names):
        raise DataError("column names must differ", file=file, got=names)
    columns = {name: table.column(i).to_pylist() for i, name in enumerate(names)}
    return make_table(columns, file)


def recognise(data: bytes) -> str:
    """The extension that fits the first bytes of a stream."""
    if data[:4] == b"PAR1":
        return ".parquet"
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] in (b"{", b"["):
        return ".jsonl" if start[:1] == b"{" else ".json"
    header = start.partition(b"\n")[0]
    return ".tsv" if b"\t" in header and b"," not in header else ".csv"


def _decode(data: bytes, file: str, count_rows: Callable[[str], int]) -> str:
    """Decode UTF-8 with or without a byte-order mark.

    ``count_rows`` tells from the text before a bad byte which data row that byte is in.
    """
    if not data.strip():
        raise DataError("a data set needs at least one row", file=file, hint="The file is empty")
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = start + error.start
        row = count_rows(data[start:offset].decode("utf-8"))
        raise DataError(
            f"text must be UTF-8, but byte {offset} is 0x{data[offset]:02x}",
            file=file,
            row=row if row > 0 else None,
            hint="Save the file as UTF-8",
        ) from None


def _parse_delimited(data: bytes, file: str, delimiter: str) -> pd.DataFrame:
    def count_rows(before: str) -> int:
        # A blank line is no row; the mark stands for the record that holds the bad byte.
        lines = io.StringIO(before + "?", newline="")
        return sum(bool(record) for record in csv.reader(lines, delimiter=delimiter)) - 1

    # The limit is the module's, so it is put back.
    limit = csv.field_size_limit(_FIELD_LIMIT)
    try:
        text = _decode(data, file, count_rows)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return _collect_records(reader, file)
    finally:
        csv.field_size_limit(limit)


def _collect_records(reader: Iterable[list[str]], file: str) -> pd.DataFrame:
    header: list[str] | None = None
    records: list[list[str]] = []
    try:
        for record in reader:
            if not record:  # a blank line
                continue
            if header is None:
                header = [name or f"column {i}" for i, name in enumerate(record, 1)]
                continue
            if len(record) != len(header):
                raise DataError(
                    f"a row needs {len(header)} cells like the header, but has {len(record)}",
                    file=file,
                    row=len(records) + 1,
                    hint="Quote cells that contain the delimiter",
                )
            records.append(record)
    except csv.Error as error:
        raise DataError(
            f"a cell that starts with a quote must end with one ({error})",
            file=file,
            row=len(records) + 1 if header else None,
            hint="Write a quote inside a quoted cell twice",
        ) from None
    header = header or []
    if len(set(header)) < len(header):
        raise DataError("column names must differ", file=file, got=header)
    return make_table(
        {name: [record[i] or None for record in records] for i, name in enumerate(header)}, file
    )


def _parse_jsonl(data: bytes, file: str) -> pd.DataFrame:
    text = _decode(data, file, lambda before: before.count("\n") + 1)
    rows: dict[int, Any] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rows[number] = _parse_json_text(line, file, number)
    return _from_objects(rows, file)


def _parse_json(data: bytes, file: str) -> pd.DataFrame:
    value = _parse_json_text(_decode(data, file, lambda before: 0), file, None)
    if not isinstance(value, list):
        raise DataError(
            "a JSON file must hold a list of objects",
            file=file,
            got=type(value).__name__,
            hint="One object per line is JSONL; name it .jsonl",
        )
    return _from_objects(dict(enumerate(value, 1)), file)


def _parse_json_text(text: str, file: str, row: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"character {error.colno}" if row else f"line {error.lineno}"
        raise DataError(f"malformed JSON at {place} ({error.msg})", file=file, row=row) from None
    except RecursionError:
        raise DataError("JSON is nested too deeply", file=file, row=row) from None


def _from_objects(rows: dict[int, Any], file: str) -> pd.DataFrame:
    names: dict[str, None] = {}
    for number, row in rows.items():
        if not isinstance(row, dict):
            raise DataError(
                "a row must be a JSON object", file=file, row=number, got=type(row).__name__
            )
        names.update(dict.fromkeys(row))
    columns = {name: [row.get(name) for row in rows.values()] for name in names}
    return make_table(columns, file, rows)


def _parse_parquet(data: bytes, file: str) -> pd.DataFrame:
    pa, pq = require("pyarrow", "adapt"), require("pyarrow.parquet", "adapt")
    if not data:
        raise DataError("a data set needs at least one row", file=file, hint="The file is empty")
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a readable Parquet file ({error})", file=file) from None
    return from_arrow(table, file)


_PARSERS: dict[str, Callable[[bytes, str], pd.DataFrame]] = {
    ".csv": lambda data, file: _parse_delimited(data, file, ","),
    ".tsv": lambda data, file: _parse_delimited(data, file, "\t"),
    ".jsonl": _parse_jsonl,
    ".ndjson": _parse_jsonl,
    ".json": _parse_json,
    ".parquet": _parse_parquet,
}
