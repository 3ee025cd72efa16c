"""A wall meter's log: a CSV of time and watts, integrated over the measured window."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import numpy as np

from parsimony.core.energy.meter import EnergyMeter, shortest_window
from parsimony.core.energy.reading import trapezoid
from parsimony.core.errors import DataError, MeterError


class PowerFile(EnergyMeter):
    """Whatever the wall meter feeds. Its log may still grow; it is read when a window ends.

    Args:
        device: see ``EnergyMeter``.
        file: columns ``time`` (seconds since 1970, or ISO 8601; without a zone it is local) and
            ``watts``, times ascending.
    """

    name = "power-file"
    quality = "measured"
    devices: ClassVar[frozenset[str]] = frozenset()  # it must be asked for, with its file
    clock: Callable[[], float] = staticmethod(time.time)

    def __init__(self, device: str = "cpu", file: Path | None = None) -> None:
        super().__init__(device)
        self._file = file

    @property
    def window(self) -> float:
        """As for every meter; a tick is the median time between two lines of the log."""
        times, _ = self._samples()
        return shortest_window(float(np.median(np.diff(times))) if len(times) > 1 else 0.0)

    @property
    def source(self) -> str:
        return f"wall meter, {self._file}"

    def check(self) -> None:
        self._samples()

    def _begin(self) -> None:
        self.check()

    def _end(self, begin: float, end: float) -> float:
        times, watts = self._samples()
        return trapezoid(times, watts, begin, end)

    def _samples(self) -> tuple[list[float], list[float]]:
        if self._file is None or not self._file.is_file():
            raise MeterError("a wall meter needs its log, a CSV of time and watts", got=self._file)
        # What follows the last line break may be half of a line that is being written.
        whole = self._file.read_text(encoding="utf-8").rpartition("\n")[0]
        rows = list(csv.DictReader(whole.splitlines()))
        times = [self._number(row, number, "time") for number, row in enumerate(rows, 1)]
        watts = [self._number(row, number, "watts") for number, row in enumerate(rows, 1)]
        return times, watts

    def _number(self, row: dict[str, str | None], number: int, column: str) -> float:
        text = row.get(column)
        value = _parsed(text or "", column)
        if value is None or not math.isfinite(value):
            assert self._file is not None
            raise DataError(
                "a wall meter's log has columns 'time' (seconds or ISO 8601) and 'watts'",
                file=self._file, row=number, column=column, got=text,
            )  # fmt: skip
        return value


def _parsed(text: str, column: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp() if column == "time" else None
    except ValueError:
        return None
