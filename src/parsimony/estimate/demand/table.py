"""The table of monthly demand: two layouts, read, checked and written.

Wide (Job-SDF's): key columns whose names end in ``_id``, then one column ``YYYY-MM`` per month.
Long (Nixtla's): ``unique_id, ds, y``. CSV or Parquet. Nothing is filled or sorted silently: what is
wrong is refused, with file, row and column.
"""

from __future__ import annotations

import csv
import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from parsimony.core.errors import DataError, InputError

Kind = Literal["demand", "proportion"]
Layout = Literal["wide", "long"]
LONG = ("unique_id", "ds", "y")
SKILL = "skill_id"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_FIRST = 5  # of a list of faults


@dataclass(frozen=True, eq=False)
class DemandTable:
    """Monthly series, one row each.

    Attributes:
        keys: text, shape (series, keys); the last column is the skill where there are more.
        months: ``YYYY-MM``, rising, without gaps.
        values: float64, shape (series, months), not negative.
        kind: counts (``demand``), or shares of the ads of a month (``proportion``), at most 1 each.
        source: the file's name, for messages.
    """

    keys: pd.DataFrame
    months: tuple[str, ...]
    values: np.ndarray
    kind: Kind = "demand"
    source: str = "table"

    @functools.cached_property
    def ids(self) -> np.ndarray:
        """Keys joined by '/', shape (series,)."""
        return _joined(self.keys)

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """The keys other than the skill, joined by '/'; '' where there is none. Shape (series,)."""
        return _joined(self.keys.iloc[:, :-1])

    @property
    def skills(self) -> np.ndarray:
        """The last key, shape (series,)."""
        return self.keys.iloc[:, -1].to_numpy()

    def following(self, count: int) -> tuple[str, ...]:
        """The months after the last."""
        first = pd.Period(self.months[-1], "M")
        return tuple(str(first + step) for step in range(1, count + 1))

    def to_wide(self) -> pd.DataFrame:
        """Keys, then a column per month."""
        values = pd.DataFrame(self.values, columns=list(self.months))
        return pd.concat([self.keys.reset_index(drop=True), values], axis=1)

    def to_long(self) -> pd.DataFrame:
        """``unique_id, ds, y``; ``ds`` is the first day of the month."""
        days = pd.PeriodIndex(self.months, freq="M").to_timestamp()
        return pd.DataFrame(
            {
                "unique_id": np.repeat(self.ids, len(self.months)),
                "ds": np.tile(days.to_numpy(), len(self.values)),
                "y": self.values.ravel(),
            }
        )

    def with_values(self, months: Sequence[str], values: np.ndarray) -> DemandTable:
        """The same series at other months."""
        return DemandTable(self.keys, tuple(months), values, self.kind, self.source)


def read(file: Path, kind: Kind = "demand") -> DemandTable:
    """Read and check a table in either layout.

    Args:
        file: ``.csv`` or ``.parquet``.
        kind: of the values.

    Raises:
        DataError: what is wrong, with row and column.
    """
    if not file.is_file():
        raise InputError("the table must be a file", got=str(file), hint="Check the path")
    if file.suffix == ".parquet":
        frame = pd.read_parquet(file)
    elif file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header = next(csv.reader(stream), [])
        _distinct(header, str(file))
        texts = {name: str for name in header if name.endswith("_id") or name in LONG[:2]}
        # Not by core's reader, which keeps each of a million numbers as text. Nothing stands for
        # 'missing': a skill may be called NA.
        frame = pd.read_csv(file, dtype=texts, keep_default_na=False, encoding="utf-8-sig")
    else:
        raise InputError("a table of demand is .csv or .parquet", got=file.name,
                         hint="Convert it, or rename it")  # fmt: skip
    return from_frame(frame, kind, str(file))


def from_frame(frame: pd.DataFrame, kind: Kind = "demand", source: str = "table") -> DemandTable:
    """Check a frame in either layout; see ``read``."""
    if kind not in ("demand", "proportion"):
        raise InputError("the values must be 'demand' or 'proportion'", got=kind)
    names = [str(name) for name in frame.columns]
    _distinct(names, source)
    if frame.empty:
        raise DataError("a table of demand needs rows", file=source)
    table = (
        _from_long(frame, kind, source)
        if {"unique_id", "ds"} & set(names)
        else _from_wide(frame, names, kind, source)
    )
    _unique_keys(table)
    return table


def write(table: DemandTable, file: Path, layout: Layout = "wide") -> None:
    """Write ``.csv`` or ``.parquet``, whole or not at all."""
    write_frame(table.to_wide() if layout == "wide" else table.to_long(), file)


def write_frame(frame: pd.DataFrame, file: Path) -> None:
    """Write a frame as ``.csv`` or ``.parquet``, whole or not at all."""
    from parsimony.core import artifacts

    if file.suffix == ".parquet":
        artifacts.write_bytes(file, frame.to_parquet(index=False))
    elif file.suffix == ".csv":
        artifacts.write_text(file, frame.to_csv(index=False))
    else:
        raise InputError("a table is written as .csv or .parquet", got=file.name)


def _joined(keys: pd.DataFrame) -> np.ndarray:
    if keys.shape[1] == 0:
        return np.full(len(keys), "", dtype=object)
    first, *rest = (keys[name] for name in keys.columns)
    return (first.str.cat(rest, sep="/") if rest else first).to_numpy(dtype=object)


def _distinct(names: Sequence[str], source: str) -> None:
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        what = "month" if _MONTH.fullmatch(twice[0]) else "column"
        raise DataError(f"every {what} must be there once", file=source, column=twice[0],
                        hint="Remove one of the two")  # fmt: skip


def _from_wide(frame: pd.DataFrame, names: list[str], kind: Kind, source: str) -> DemandTable:
    keys = [name for name in names if name.endswith("_id")]
    months = [name for name in names if name not in keys]
    if not keys or not months:
        raise DataError(
            "a table needs key columns that end in _id and months YYYY-MM, or unique_id, ds, y",
            file=source, got=names[:_FIRST],
        )  # fmt: skip
    for name in months:
        if not _MONTH.fullmatch(name):
            raise DataError("a column is a key that ends in _id or a month YYYY-MM", file=source,
                            column=name, hint="Rename or drop it")  # fmt: skip
    _consecutive(months, source)
    if SKILL in keys:  # the skill stands last, wherever the file has it
        keys = [name for name in keys if name != SKILL] + [SKILL]
    texts = _texts(frame[keys], source)
    frame = frame.set_axis(names, axis=1)
    return DemandTable(texts, tuple(months), _numbers(frame[months], kind, source), kind, source)


def _consecutive(months: Sequence[str], source: str) -> None:
    """Refuse months that are unsorted or have gaps."""
    for before, name in itertools.pairwise(months):
        if name < before:
            raise DataError(f"months must rise, but {name} comes after {before}", file=source,
                            column=name, hint="Sort the columns")  # fmt: skip
        expected = str(pd.Period(before, "M") + 1)
        if name != expected:
            raise DataError(f"the month {expected} is missing, between {before} and {name}",
                            file=source, hint="Add it; nothing is filled in silently")  # fmt: skip


def _texts(keys: pd.DataFrame, source: str) -> pd.DataFrame:
    for name in keys:
        empty = keys[name].isna().to_numpy()
        if empty.any():
            raise DataError("a key must not be empty", file=source, row=int(empty.argmax()) + 1,
                            column=str(name))  # fmt: skip
    return keys.astype(str).reset_index(drop=True)


def _numbers(frame: pd.DataFrame, kind: Kind, source: str) -> np.ndarray:
    """Float64 values; refuses what is no number, missing, infinite, negative, or above 1."""
    for name in frame:
        if frame[name].dtype == object or not pd.api.types.is_numeric_dtype(frame[name]):
            found = pd.to_numeric(frame[name], errors="coerce").isna().to_numpy()
            if found.any():
                row = int(found.argmax())
                got = frame[name].iloc[row]
                rule = "a value is missing" if got is None or pd.isna(got) or got == "" else (
                    f"a value must be a number, but got {got!r}"
                )  # fmt: skip
                raise DataError(rule, file=source, row=row + 1, column=str(name),
                                hint="Write 0 where there was no demand")  # fmt: skip
    values = np.ascontiguousarray(frame.to_numpy(np.float64))
    rules = [
        (~np.isfinite(values), "a value is missing or infinite",
         "Write 0 where there was no demand"),
        (values < 0, "demand cannot be negative", "Correct the value"),
    ]  # fmt: skip
    if kind == "proportion":
        rules.append((values > 1, "a share of a month's ads cannot be above 1",
                      "Give counts as demand"))  # fmt: skip
    for wrong, rule, hint in rules:
        if wrong.any():
            row, column = (int(place) for place in np.unravel_index(wrong.argmax(), wrong.shape))
            raise DataError(rule, file=source, row=row + 1, column=str(frame.columns[column]),
                            got=float(values[row, column]), hint=hint)  # fmt: skip
    values.setflags(write=False)
    return values


def _from_long(frame: pd.DataFrame, kind: Kind, source: str) -> DemandTable:
    if set(frame.columns) != set(LONG):
        raise DataError("a long table has the columns unique_id, ds and y, and no others",
                        file=source, got=[str(c) for c in frame.columns])  # fmt: skip
    texts = _texts(frame[["unique_id"]], source)["unique_id"]
    given = frame["ds"].dt.to_period("M").astype(str) if hasattr(frame["ds"], "dt") else frame["ds"]
    codes, unique = pd.factorize(given.astype(str))
    try:
        periods = pd.PeriodIndex([text[:7] for text in unique], freq="M")
    except ValueError:
        wrong = next(text for text in unique if not _MONTH.match(text))
        row = int(np.flatnonzero(codes == list(unique).index(wrong))[0])
        raise DataError("ds must be a month YYYY-MM or a day in it", file=source, row=row + 1,
                        column="ds", got=wrong) from None  # fmt: skip
    months = sorted({str(period) for period in periods})
    _consecutive(months, source)
    month = np.array([months.index(str(period)) for period in periods])[codes]
    series, ids = pd.factorize(texts)
    cell = series * len(months) + month
    counts = np.bincount(cell, minlength=len(ids) * len(months))
    if (counts > 1).any():
        first = int(np.flatnonzero(counts[cell] > 1)[1])
        raise DataError(f"{ids[series[first]]} has the month {months[month[first]]} twice",
                        file=source, row=first + 1, column="ds")  # fmt: skip
    if (counts == 0).any():
        gap, where = divmod(int((counts == 0).argmax()), len(months))
        raise DataError(f"{ids[gap]} lacks the month {months[where]}", file=source,
                        hint="Add it; nothing is filled in silently")  # fmt: skip
    values = np.empty((len(ids), len(months)))
    values.flat[cell] = _numbers(frame[["y"]], kind, source)[:, 0]
    values.setflags(write=False)
    return DemandTable(_split(ids), tuple(months), values, kind, source)


def _split(ids: pd.Index) -> pd.DataFrame:
    """``group/skill`` as two keys, where all ids have as many parts."""
    parts = [str(name).split("/") for name in ids]
    if len({len(p) for p in parts}) > 1:
        return pd.DataFrame({SKILL: [str(name) for name in ids]})
    count = len(parts[0])
    groups = ["group_id"] if count == 2 else [f"group{i}_id" for i in range(1, count)]
    return pd.DataFrame(parts, columns=[*groups, SKILL])


def _unique_keys(table: DemandTable) -> None:
    """Each key once, and each skill in each group."""
    ids = pd.Series(table.ids)
    twice = ids.duplicated()
    if twice.any():
        names = ", ".join(ids[twice].unique()[:_FIRST])
        raise DataError(f"the keys must differ, but {int(twice.sum())} come again: {names}",
                        file=table.source, row=int(twice.to_numpy().argmax()) + 1,
                        hint="Sum or drop the repeated rows")  # fmt: skip
    group, groups = pd.factorize(table.groups)
    skill, skills = pd.factorize(table.skills)
    there = np.zeros((len(groups), len(skills)), bool)
    there[group, skill] = True
    absent = np.argwhere(~there)
    if len(absent):
        names = ", ".join(f"{groups[g]}/{skills[s]}" for g, s in absent[:_FIRST])
        raise DataError(f"every group needs every skill, but {len(absent)} are absent: {names}",
                        file=table.source, hint="Add them as rows of zeros")  # fmt: skip
