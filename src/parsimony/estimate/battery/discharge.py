"""A measured discharge: times and voltages, read from a table and checked before they are used.

Nothing is converted in silence: a table in other units is refused, with what it looks like.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parsimony.core.data.files import read_table
from parsimony.core.errors import DataError, InputError, nearest, require
from parsimony.estimate.battery.cell import HORIZON, REFERENCE, Cell
from parsimony.estimate.battery.solver import CELL, solve

FEWEST = 3
"""Points without which a curve says nothing."""
TIME = ("time", "time_s", "time [s]", "t", "seconds")
VOLTAGE = ("voltage", "voltage_v", "voltage [v]", "v", "terminal voltage [v]")
CURRENT = ("current", "current_a", "current [a]", "i")
"""Names that a column may have, in any case."""
_BELOW, _ABOVE = 0.5, 0.1  # V from the equilibrium voltage that an overpotential may take
_CLOSE = 0.1  # V of mean distance to the reference curve, below which a guess of a unit is made
_UNITS = {"hours": 3600.0, "minutes": 60.0, "milliseconds": 1e-3}


@dataclass(frozen=True)
class Discharge:
    """A curve that passed all checks.

    Attributes:
        times: (n,) seconds, rising.
        voltage: (n,) V.
        file: where it is from.
    """

    times: np.ndarray
    voltage: np.ndarray
    file: str

    def csv(self) -> str:
        """As a table that ``read`` reads."""
        pd = require("pandas", "estimate")
        table = pd.DataFrame({"time": self.times, "voltage": self.voltage})
        return str(table.to_csv(index=False, float_format="%.7g"))


def simulate(
    parameters: tuple[float, float],
    cell: Cell = CELL,
    noise: float = 0.0,
    points: int = 100,
    start: float = 10.0,
    seed: int = 0,
) -> Discharge:
    """A discharge of the solver, with normal noise; the paper's 100 points from 10 s by default.

    Args:
        parameters: k1 and k2.
        cell: constants, properties and kinetics.
        noise: standard deviation, V.
        points: even in time, up to the end.
        start: of the first, s.
        seed: of the noise.

    Raises:
        InputError: a start outside the discharge; parameters that are not positive.
    """
    if not 0 <= start < HORIZON:
        raise InputError(f"the first time must lie in [0, {HORIZON:g}) s", got=start)
    times = np.linspace(start, HORIZON, points)
    voltage = solve(np.array(parameters), times, cell).voltage[0]
    voltage = voltage + np.random.default_rng(seed).normal(0, noise, points)
    return Discharge(times, voltage, "simulated")


def read(file: Path, cell: Cell = CELL, *, time: str = "", voltage: str = "") -> Discharge:
    """Read a table with a column of times in seconds and one of voltages in V.

    Args:
        file: with a header; a column of currents in A, where there is one, is checked too.
        cell: whose discharge it is.
        time: name of the column of times; found by ``TIME`` where it is empty.
        voltage: name of the column of voltages; found by ``VOLTAGE`` where it is empty.

    Raises:
        DataError: names the file, and row and column where one is to blame.
    """
    require("pandas", "estimate")
    table = read_table(file)
    columns = {
        "time": _column(table, time, TIME, "times", file),
        "voltage": _column(table, voltage, VOLTAGE, "voltages", file),
    }
    values = {name: _numbers(table[column], column, file) for name, column in columns.items()}
    currents = [c for c in table.columns if str(c).strip().lower() in CURRENT]
    if currents:
        _check_current(_numbers(table[currents[0]], currents[0], file), cell, currents[0], file)
    times, volts = check(
        values["time"], values["voltage"], cell,
        file=str(file), time=columns["time"], voltage_name=columns["voltage"],
    )  # fmt: skip
    return Discharge(times, volts, str(file))


def check(
    times: np.ndarray,
    voltage: np.ndarray,
    cell: Cell = CELL,
    *,
    file: str = "the data",
    time: str = "time",
    voltage_name: str = "voltage",
) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, if they can be a discharge of the cell at its current.

    Args:
        times: (n,) seconds.
        voltage: (n,) V.
        cell: whose discharge it is.
        file: name of the data, for messages.
        time: name of the column of times.
        voltage_name: name of the column of voltages.

    Raises:
        DataError: fewer than ``FEWEST`` points; a value that is not finite; times that do not
            rise, or go beyond the horizon; voltages outside what the electrodes can give, or that
            rise by more than noise; other units, with what they look like.
    """
    t, v = np.asarray(times, dtype=np.float64), np.asarray(voltage, dtype=np.float64)
    if len(t) < FEWEST:
        raise DataError(f"a curve needs {FEWEST} points or more", file=file, got=len(t))
    for name, values in ((time, t), (voltage_name, v)):
        _first(~np.isfinite(values), values, "every value must be a finite number", file, name)
    _first(t < 0, t, "times must be seconds from the start of the discharge", file, time)
    _first(
        np.diff(t, prepend=-1.0) <= 0, t, "times must rise from row to row", file, time,
        "Sort the rows, and keep one of each time",
    )  # fmt: skip
    low, high = window(cell)
    wrong = (v < low) | (v > high)
    if wrong.any():
        milli = low <= np.median(v) / 1000 <= high
        _first(
            wrong, v, f"the voltage of this cell lies between {low:.2f} and {high:.2f} V", file,
            voltage_name, "They look like millivolts: divide by 1000" if milli else "",
        )  # fmt: skip
    unit = _looks_like(t, v, cell)
    if unit:
        raise DataError(
            "times must be in seconds", file=file, column=time, got=float(t[-1]),
            hint=f"They look like {unit}: multiply by {_UNITS[unit]:g}",
        )  # fmt: skip
    _first(
        t > HORIZON, t, f"times must lie within the {HORIZON:g} s of the discharge", file, time,
        "Leave out the later rows",
    )  # fmt: skip
    noise = 1.4826 * np.median(np.abs(np.diff(v, 2))) / np.sqrt(6)  # of a smooth curve
    most = max(0.02, 8 * float(noise))
    risen = np.append(0.0, v[1:] - np.minimum.accumulate(v)[:-1])
    _first(
        risen > most, v,
        f"the voltage must fall in a discharge; it rises by {1e3 * risen.max():.0f} mV, more than "
        f"noise of {1e3 * float(noise):.1f} mV explains", file, voltage_name,
        "Leave out rest and charge",
    )  # fmt: skip
    return t, v


def window(cell: Cell = CELL) -> tuple[float, float]:
    """Least and greatest voltage of the discharge: the equilibrium's at its ends, with room, V."""
    t = np.array([0.0, HORIZON])
    a, c = cell.anode.mean(cell.j_a, t), cell.cathode.mean(cell.j_c, t)
    ends = cell.U_c(c) - cell.U_a(a)
    return float(ends.min() - _BELOW), float(ends.max() + _ABOVE)


def check_noise(sigma: float) -> float:
    """The standard deviation of the noise in V, if it can be one.

    Raises:
        InputError: zero, negative, no number, or in mV by its magnitude.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(
            "the noise must be a positive standard deviation", got=sigma,
            hint="Without noise a posterior has no width; give 'auto' to find the smallest that "
            "explains the data, down to 1 mV",
        )  # fmt: skip
    if sigma >= 0.5:
        raise InputError(
            "the noise must be in V, below 0.5", got=sigma,
            hint=f"If these are millivolts, give {sigma / 1000:g}",
        )  # fmt: skip
    return float(sigma)


def _column(table: object, given: str, known: tuple[str, ...], what: str, file: Path) -> str:
    names = [str(c) for c in table.columns]  # type: ignore[attr-defined]
    if given:
        if given not in names:
            raise DataError(f"there is no column '{given}'", file=file, hint=nearest(given, names))
        return given
    found = [n for n in names if n.strip().lower() in known]
    if len(found) != 1:
        raise DataError(
            f"one column of {what} is needed, named {', '.join(known[:3])}", file=file, got=names,
            hint="Name the column" if found else nearest(known[0], names),
        )  # fmt: skip
    return found[0]


def _numbers(values: object, column: str, file: Path) -> np.ndarray:
    pd = require("pandas", "estimate")
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "every value must be a finite number", file=file, row=row + 1, column=column,
            got=str(values.iloc[row]), hint="Leave out the row, or correct it",  # type: ignore[attr-defined]
        )  # fmt: skip
    return numbers


def _check_current(current: np.ndarray, cell: Cell, column: str, file: Path) -> None:
    """Of either sign, since instruments differ in what they call positive."""
    size = abs(cell.current)
    wrong = np.abs(np.abs(current) - size) > 0.02 * size
    if wrong.any():
        row = int(wrong.argmax())
        milli = np.abs(np.abs(current) / 1000 - size).max() <= 0.02 * size
        raise DataError(
            f"the model is for one current, {size:g} A (2C)", file=file, row=row + 1,
            column=column, got=float(current[row]),
            hint="They look like milliamperes: divide by 1000" if milli
            else "Take the part of the data with that current",
        )  # fmt: skip


def _first(
    wrong: np.ndarray, values: np.ndarray, rule: str, file: str, column: str, hint: str = ""
) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            rule, file=file, row=row + 1, column=column, got=float(values[row]), hint=hint
        )


def _looks_like(t: np.ndarray, v: np.ndarray, cell: Cell) -> str:
    """The unit in which the times come far closer to the reference curve than as seconds."""
    curve = np.linspace(0, HORIZON, 200)
    reference = solve(np.array(REFERENCE), curve, cell).voltage[0]

    def distance(scaled: np.ndarray) -> float:
        if scaled[-1] > 1.02 * HORIZON:
            return np.inf
        return float(np.abs(np.interp(scaled, curve, reference) - v).mean())

    seconds = distance(t)
    found = {unit: distance(t * factor) for unit, factor in _UNITS.items()}
    best = min(found, key=lambda unit: found[unit])
    return best if found[best] < min(_CLOSE, seconds / 2) and seconds > 0.03 else ""
