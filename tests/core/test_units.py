"""Quantities: every unit means what it says, and nothing else is read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core import units
from parsimony.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("8GiB", "bytes", 8 * 2**30), ("8 gib", "bytes", 8 * 2**30), ("1.5MB", "bytes", 1.5e6),
        ("12B", "bytes", 12), ("2TiB", "bytes", 2**41), ("1kB", "bytes", 1000),
        ("30min", "seconds", 1800), ("20ms", "seconds", 0.02), ("2d", "seconds", 172800),
        ("1e3s", "seconds", 1000), ("50Wh", "watt-hours", 50), ("3.6kJ", "watt-hours", 1),
        ("1kWh", "watt-hours", 1000), ("0.5%", "share", 0.005), (".5%", "share", 0.005),
        ("7%", "share", 0.07),
    ],
)  # fmt: skip
def test_units(text: str, dimension: units.Dimension, value: float) -> None:
    assert units.parse(text, dimension) == pytest.approx(value, rel=1e-15)


@given(st.integers(1, 100))
def test_whole_percents_are_exact(percent: int) -> None:
    assert units.parse(f"{percent}%", "share") == percent / 100


@pytest.mark.parametrize(
    "text", ["", "8", "GiB", "8 parsecs", "-1GiB", "nanGiB", "infGiB", "8GiB x"]
)
def test_what_is_not_a_quantity_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(InputError) as caught:
        units.parse(text, "bytes")
    message = str(caught.value)
    assert "a quantity in bytes needs a number and a unit" in message
    assert repr(text) in message
    assert "Units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB" in message


@pytest.mark.parametrize("text", ["0s", "0.0h", "1e999s", "1e-400s"])
def test_zero_and_overflow_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="positive finite number"):
        units.parse(text, "seconds")


def test_an_overflowing_share_is_refused() -> None:
    with pytest.raises(InputError, match="positive finite number"):
        units.parse("1e999999999999%", "share")


def test_formats() -> None:
    assert units.format_bytes(1572864) == "1.5 MiB"
    assert units.format_bytes(17) == "17 B"
    assert units.format_bytes(5 * 2**40) == "5 TiB"
    assert units.format_seconds(95) == "1 min 35 s"
    assert units.format_seconds(0.0123) == "12.3 ms"
    assert units.format_seconds(12.34) == "12.3 s"
    assert units.format_seconds(7260) == "2 h 1 min"
    assert units.format_share(0.00512) == "0.512%"
    assert units.format_count(22713216) == "22.7M"
    assert units.format_count(9999) == "9,999"


@given(st.floats(60, 1e9))
def test_a_written_duration_is_right_to_its_last_place(seconds: float) -> None:
    parts = units.format_seconds(seconds).split()
    sizes = {"h": 3600, "min": 60, "s": 1}
    read = sum(int(n) * sizes[u] for n, u in zip(parts[::2], parts[1::2], strict=True))
    assert abs(read - seconds) <= (60 if parts[1] == "h" else 0.5)


@given(st.floats(1, 1e15))
def test_written_bytes_read_back_to_three_digits(value: float) -> None:
    text = units.format_bytes(value)
    assert math.isclose(units.parse(text, "bytes"), value, rel_tol=6e-4, abs_tol=0.5)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(9.1e8, "bytes", "867.8 MiB"), (95, "seconds", "1 min 35 s"), (81428, "parameters", "81,428"),
     (22_713_216, "count", "22,713,216"), (7e9, "count", "7B"), (0.005, "share", "0.5%"),
     (1.25, "watt-hours", "1.25 Wh"), (3.0, "tokens", "3 tokens"), (3.0, "", "3")],
)  # fmt: skip
def test_a_value_is_written_with_its_unit(value: float, unit: str, text: str) -> None:
    assert units.write(value, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.34567, "0.3457"), (1e-5, "1e-5"), (12345, "12,340"), (1.5e21, "1.5e21"), (0, "0"),
     (-2.5e-7, "-2.5e-7")],
)  # fmt: skip
def test_a_plain_number_has_four_digits_and_a_short_exponent(value: float, text: str) -> None:
    assert units.format_number(value) == text


@pytest.mark.parametrize(
    ("largest", "unit", "factor", "name"),
    [(3e10, "bytes", 2**30, "GiB"), (2**31 - 1, "bytes", 2**20, "MiB"), (1, "bytes", 1, "B"),
     (0.05, "seconds", 1e-3, "ms"), (7199, "seconds", 60, "min"), (1e9, "seconds", 86400, "d"),
     (0.5, "share", 1, ""), (1e9, "count", 1, ""), (5, "watt-hours", 1, "Wh"), (5, "J", 1, "J"),
     (5, "", 1, "")],
)  # fmt: skip
def test_an_axis_is_divided_so_that_its_largest_value_is_two_or_more(
    largest: float, unit: str, factor: float, name: str
) -> None:
    assert units.scale(largest, unit) == (factor, name)
