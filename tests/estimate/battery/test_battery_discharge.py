"""A measured curve: read, checked, and refused with the row that is to blame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.estimate.battery import quantities
from parsimony.estimate.battery.discharge import check, check_noise, read, simulate, window


@pytest.fixture(scope="module")
def curve() -> pd.DataFrame:
    """Forty points with noise of 3 mV."""
    found = simulate((2.0, 2.0), noise=0.003, points=40)
    return pd.DataFrame({"time": found.times, "voltage": found.voltage})


def written(table: pd.DataFrame, folder: Path) -> Path:
    table.to_csv(folder / "v.csv", index=False)
    return folder / "v.csv"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = simulate((2.0, 2.0), noise=0.003, points=40, seed=1)
    (tmp_path / "v.csv").write_text(made.csv(), encoding="utf-8")
    found = read(tmp_path / "v.csv")
    assert np.allclose(found.times, made.times, atol=1e-3)
    assert np.allclose(found.voltage, made.voltage, atol=1e-6)


def test_other_names_are_found_or_given(curve: pd.DataFrame, tmp_path: Path) -> None:
    renamed = curve.rename(columns={"time": "Time [s]", "voltage": "Terminal voltage [V]"})
    assert len(read(written(renamed, tmp_path)).times) == 40
    other = curve.rename(columns={"time": "when", "voltage": "U"})
    assert len(read(written(other, tmp_path), time="when", voltage="U").times) == 40
    with pytest.raises(InputError, match=r"no column 'wen'. Did you mean 'when'\?"):
        read(written(other, tmp_path), time="wen", voltage="U")
    with pytest.raises(InputError, match=r"one column of times is needed, named time, time_s"):
        read(written(other, tmp_path))


CHANGES = [
    ("voltage", 4, np.nan, r"row 5, column 'voltage': every value must be a finite number"),
    ("voltage", 4, "n/a?", r"row 5, column 'voltage': .*'n/a\?'"),
    ("time", 6, 1.0, r"row 7, column 'time': times must rise from row to row, but got 1.0"),
    ("time", 0, -5.0, r"row 1, column 'time': times must be seconds from the start"),
    ("time", 39, 1400.0, r"row 40, column 'time': times must lie within the 1350 s"),
    ("voltage", 9, 5.0, r"row 10, column 'voltage': the voltage of this cell lies between"),
    ("voltage", 20, 3.95, r"row 21, column 'voltage': the voltage must fall in a discharge; it r"),
]


@pytest.mark.parametrize(("column", "row", "value", "says"), CHANGES)
def test_a_bad_value_is_named(
    column: str, row: int, value: object, says: str, curve: pd.DataFrame, tmp_path: Path
) -> None:
    bad = curve.astype(object)
    bad.loc[row, column] = value
    with pytest.raises(InputError, match=says):
        read(written(bad, tmp_path))


def test_few_points_are_refused(curve: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a curve needs 3 points or more, but got 2"):
        read(written(curve.head(2), tmp_path))


@pytest.mark.parametrize(
    ("column", "factor", "says"),
    [
        ("time", 1 / 3600, r"They look like hours: multiply by 3600"),
        ("time", 1 / 60, r"They look like minutes: multiply by 60"),
        ("time", 1000, r"They look like milliseconds: multiply by 0.001"),
        ("voltage", 1000, r"They look like millivolts: divide by 1000"),
    ],
)
def test_other_units_are_recognised(
    column: str, factor: float, says: str, curve: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        read(written(curve.assign(**{column: curve[column] * factor}), tmp_path))


def test_a_short_curve_in_seconds_passes() -> None:
    found = simulate((2.0, 2.0), noise=0.003, points=40, start=1.0)
    check(found.times[:5], found.voltage[:5])


def test_the_current_is_the_models(curve: pd.DataFrame, tmp_path: Path) -> None:
    read(written(curve.assign(current=0.0378), tmp_path))
    read(written(curve.assign(current=-0.0378), tmp_path))
    with pytest.raises(InputError, match=r"row 1, column 'current': the model is for one current"):
        read(written(curve.assign(current=0.0189), tmp_path))
    with pytest.raises(InputError, match="They look like milliamperes"):
        read(written(curve.assign(current=37.8), tmp_path))


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the file must exist\. Check the path"):
        read(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"empty\.csv: a data set needs at least one row"):
        read(tmp_path / "empty.csv")


def test_the_window_holds_the_whole_box() -> None:
    low, high = window()
    assert low < 3.4 and 4.0967 < high < 4.3


def test_noise_is_positive_and_in_volts() -> None:
    assert check_noise(0.003) == 0.003
    with pytest.raises(InputError, match=r"a posterior has no width; give 'auto'.* down to 1 mV"):
        check_noise(0.0)
    with pytest.raises(InputError, match=r"If these are millivolts, give 0.003"):
        check_noise(3.0)


def test_quantities_are_read_as_they_are_written() -> None:
    assert quantities.volts("3mV") == pytest.approx(0.003)
    assert quantities.volts("0.003 V") == pytest.approx(0.003)
    assert quantities.volts("auto") == "auto"
    assert quantities.volts("0mV", zero=True) == 0.0
    for text in ("3", "mV", "1e-mV", "3 A"):
        with pytest.raises(InputError, match="a number with its unit, such as 3mV"):
            quantities.volts(text)
    assert quantities.names("time=t, voltage=U") == {"time": "t", "voltage": "U"}
    with pytest.raises(InputError, match=r"time=NAME,voltage=NAME.*Did you mean 'voltage'\?"):
        quantities.names("volt=U")


def test_a_simulation_starts_inside() -> None:
    with pytest.raises(InputError, match=r"the first time must lie in \[0, 1350\) s"):
        simulate((1.0, 1.0), start=1350.0)
