"""What was observed: times, events, entries and intervals, checked before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import column_or_1d

from parsimony.estimate.errors import EstimatorDataError
from parsimony.estimate.survival.family import Array

_SHOWN = 5
_NO_EVENT = "there must be an event, or no rate is the likeliest; all rows are censored"
_TRUE = {"1", "true", "yes", "1.0"}
_FALSE = {"0", "false", "no", "0.0"}


@dataclass(frozen=True)
class Outcome:
    """The outcome of n rows.

    Attributes:
        time: of the event, or until which there was none, [n]; of an interval its upper end.
        event: 1 where the event happened, 0 where the row was censored, [n].
        entry: from when a row was watched (left truncation), 0 for from the start; or ``None``.
        low: lower end of the interval in which an event lies, NaN for any other row; or ``None``.
    """

    time: Array
    event: Array
    entry: Array | None = None
    low: Array | None = None

    @classmethod
    def of(
        cls,
        y: Any,
        *,
        file: str = "y",
        names: Mapping[str, str] | None = None,
        labels: Any = None,
        events: int = 1,
    ) -> Outcome:
        """Read and check ``y``.

        Args:
            y: a DataFrame with columns ``time`` and ``event``, perhaps ``entry``; or ``lower`` and
                ``upper``, equal for an exact time, infinite above for a censored one, 0 below for
                one that is left-censored; a structured array with such fields, or with one boolean
                and one number, as scikit-survival has them; an array of two or three such columns;
                or one column of times, all of which are events.
            file: what a message calls the data.
            names: what a message calls the columns.
            labels: what a message calls the rows, [n]; counted from 1 by default.
            events: how many there must be.

        Raises:
            EstimatorDataError: a value that no outcome has; says which row.
        """
        columns = _columns(y, file)
        at = {name: Column(file, (names or {}).get(name, name), labels) for name in columns}
        if "lower" in columns:
            return cls._intervals(columns, at)
        time = numbers(columns["time"], at["time"])
        at["time"].refuse(
            time <= 0, time, "times must be positive, since their logarithm is used",
            "Drop such rows, or add a small time, such as half a day, to all",
        )  # fmt: skip
        at["time"].refuse(np.isinf(time), time, "times must be finite")
        event = np.ones(len(time))
        if "event" in columns:
            event = _events(columns["event"], at["event"])
        entry = None
        if "entry" in columns:
            entry = numbers(columns["entry"], at["entry"])
            at["entry"].refuse(entry < 0, entry, "entries must not be negative")
            at["entry"].refuse(
                entry >= time, entry, "a row must enter before its time",
                "Drop rows that were never watched",
            )  # fmt: skip
            entry = entry if entry.any() else None
        if event.sum() < events:
            raise EstimatorDataError(
                _NO_EVENT, file=file, column=at["event"].name, got=sorted(set(event.tolist())),
                hint="The coding is 1 for an event and 0 for a censored row",
            )  # fmt: skip
        return cls(time, event, entry)

    @classmethod
    def _intervals(cls, columns: dict[str, Any], at: dict[str, Column]) -> Outcome:
        lower, upper = at["lower"], at["upper"]
        low, high = numbers(columns["lower"], lower), numbers(columns["upper"], upper)
        lower.refuse(low < 0, low, "times must not be negative")
        upper.refuse(high <= 0, high, "times must be positive")
        upper.refuse(high < low, high, "an upper end must not be below its lower")
        upper.refuse(
            np.isinf(high) & (low == 0), high, "a row from 0 to infinity says nothing",
            "Drop such rows",
        )  # fmt: skip
        censored, exact = np.isinf(high), high == low
        if censored.all():
            raise EstimatorDataError(_NO_EVENT, file=upper.file, column=upper.name)
        within = ~(censored | exact)
        return cls(
            np.where(censored, low, high), (~censored).astype(float), None,
            np.where(within, low, np.nan) if within.any() else None,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: Array) -> Outcome:
        """These rows, by position or mask."""
        parts = (self.entry, self.low)
        return Outcome(
            self.time[rows], self.event[rows], *(v if v is None else v[rows] for v in parts)
        )

    @property
    def within(self) -> Array:
        """Which rows are intervals, [n]."""
        return np.zeros(len(self), bool) if self.low is None else ~np.isnan(self.low)


@dataclass(frozen=True)
class Column:
    """A column as a message names it.

    Attributes:
        file: or table.
        name: of the column.
        labels: of the rows; counted from 1 where there are none.
    """

    file: str
    name: str
    labels: Any = None

    def rows(self, wrong: Array) -> list[int]:
        """Labels of these rows."""
        places = np.flatnonzero(wrong)
        labels = np.arange(1, len(wrong) + 1) if self.labels is None else np.asarray(self.labels)
        return list(labels[places].tolist())

    def refuse(self, wrong: Any, values: Any, rule: str, hint: str = "") -> None:
        """Raise where any row is wrong, naming the first few."""
        wrong = np.asarray(wrong)
        if not wrong.any():
            return
        rows = self.rows(wrong)
        shown = ", ".join(map(str, rows[:_SHOWN]))
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        got = np.asarray(values)[np.flatnonzero(wrong)[0]]
        raise EstimatorDataError(
            f"{rule} (row{'s' if len(rows) > 1 else ''} {shown}{more})", file=self.file,
            row=rows[0], column=self.name, got=got.item() if hasattr(got, "item") else got,
            hint=hint,
        )  # fmt: skip


def numbers(values: Any, column: Column) -> Array:
    """A column as finite or infinite numbers.

    Raises:
        EstimatorDataError: a cell that is empty or no number.
    """
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        found = array.astype(float)
    else:
        series = pd.Series(array, dtype=object)
        found = pd.to_numeric(series, errors="coerce").to_numpy(float)
        missing = series.isna().to_numpy() | (series.astype(str).str.strip() == "").to_numpy()
        column.refuse(np.isnan(found) & ~missing, array, "a cell must be a number")
    column.refuse(np.isnan(found), found, "a value is missing (NaN)", "Fill it in or drop the row")
    return found


def _events(values: Any, column: Column) -> Array:
    array = np.asarray(values)
    if array.dtype.kind in "OUS":
        text = pd.Series(array, dtype=object)
        column.refuse(text.isna(), array, "a value is missing (NaN)", "Drop the row")
        words = text.astype(str).str.strip().str.lower()
        found = np.where(words.isin(_TRUE), 1.0, np.where(words.isin(_FALSE), 0.0, np.nan))
        coding = sorted(set(words))
    else:
        found = numbers(array, column)
        coding = np.unique(found).tolist()
        found = np.where((found == 0) | (found == 1), found, np.nan)
    if np.isnan(found).any():
        shown = coding if len(coding) <= _SHOWN else [*coding[:_SHOWN], "..."]
        hint = "Write 1 where the event happened and 0 where the row was censored"
        if coding in ([1.0, 2.0], ["1", "2"]):
            hint = "In R's coding 1 is censored and 2 the event: subtract 1"
        raise EstimatorDataError(
            "an event is coded 1 or 0 (or true, false)", file=column.file,
            row=column.rows(np.isnan(found))[0], column=column.name, got=shown, hint=hint,
        )  # fmt: skip
    return found


def _columns(y: Any, file: str) -> dict[str, Any]:
    """The columns of ``y`` by what they are."""
    if y is None:
        raise EstimatorDataError(
            "the outcome is needed: requires y to be passed, but the target y is None", file=file,
        )  # fmt: skip
    if isinstance(y, pd.DataFrame):
        return _named({name: y[name].to_numpy() for name in y.columns}, file)
    array = np.asarray(y)
    if array.dtype.names:
        fields = {name: array[name] for name in array.dtype.names}
        flags = [name for name, v in fields.items() if v.dtype.kind == "b"]
        if len(fields) == 2 and len(flags) == 1:
            (other,) = set(fields) - set(flags)
            return {"time": fields[other], "event": fields[flags[0]]}
        return _named(fields, file)
    if array.ndim == 2 and array.shape[1] in (2, 3):
        return dict(zip(("time", "event", "entry"), array.T, strict=False))
    return {"time": column_or_1d(array, warn=True)}


def _named(columns: dict[str, Any], file: str) -> dict[str, Any]:
    known = [{"time", "event"}, {"time", "event", "entry"}, {"time"}, {"lower", "upper"}]
    if set(columns) in known:
        return columns
    if len(columns) in (2, 3) and not set(columns) & {"time", "event", "entry", "lower", "upper"}:
        return dict(zip(("time", "event", "entry"), columns.values(), strict=False))
    raise EstimatorDataError(
        "an outcome has the columns time and event, perhaps entry, or lower and upper",
        file=file, got=list(columns),
    )  # fmt: skip
