"""Read and write sizes, durations, shares and energies, each in one canonical unit.

Bytes for storage, seconds for time, watt-hours for energy, a fraction in [0, 1] for shares.
Decimal (kB, MB, GB) and binary (KiB, MiB, GiB) prefixes mean what they say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from parsimony.core.errors import InputError

Dimension = Literal["bytes", "seconds", "watt-hours", "share"]

_FACTORS: dict[str, dict[str, float]] = {
    "bytes": {
        "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
        "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    },
    "seconds": {"ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400},
    "watt-hours": {"wh": 1, "kwh": 1e3, "j": 1 / 3600, "kj": 1e3 / 3600},
    "share": {"%": 0.01},
}  # fmt: skip

_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*", re.IGNORECASE)


def parse(text: str, dimension: Dimension) -> float:
    """Parse ``text`` such as ``"8GiB"``, ``"30min"``, ``"0.5%"`` or ``"50Wh"``.

    Returns the value in the canonical unit of ``dimension``; always positive and finite.

    Raises:
        InputError: no number, an unknown unit, or a value that is not positive.
    """
    units = _FACTORS[dimension]
    match = _QUANTITY.fullmatch(text)
    unit = match.group(2).lower() if match else None
    if match is None or unit not in units:
        known = ", ".join(_pretty(u) for u in units)
        raise InputError(
            f"a quantity in {dimension} needs a number and a unit", got=text, hint=f"Units: {known}"
        )
    value = float(match.group(1)) * units[unit]
    if unit == "%" and math.isfinite(value):
        # In decimal, so that 7% is 0.07 and every share can be written and read back.
        value = float(Decimal(match.group(1)).scaleb(-2))
    if not (value > 0 and math.isfinite(value)):
        raise InputError("a budget must be a positive finite number", got=text)
    return value


def _pretty(unit: str) -> str:
    special = {"kib": "KiB", "mib": "MiB", "gib": "GiB", "tib": "TiB", "b": "B"}
    special |= {"kb": "kB", "mb": "MB", "gb": "GB", "tb": "TB"}
    special |= {"wh": "Wh", "kwh": "kWh", "j": "J", "kj": "kJ"}
    return special.get(unit, unit)


def format_bytes(value: float) -> str:
    """``1572864`` -> ``"1.5 MiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def format_seconds(value: float) -> str:
    """``95`` -> ``"1 min 35 s"``; three significant digits below a minute."""
    if value < 60:
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def format_share(value: float) -> str:
    """``0.00512`` -> ``"0.512%"``."""
    return f"{100 * value:.3g}%"


def format_count(value: float) -> str:
    """``22713216`` -> ``"22.7M"``; exact below 10,000."""
    for factor, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor and abs(value) >= 10_000:
            return f"{value / factor:.3g}{unit}"
    return f"{value:,.0f}"


def format_number(value: float) -> str:
    """Four significant digits: ``1e-05`` -> ``"1e-5"``, ``12345`` -> ``"12,340"``."""
    text = f"{value:.4g}"
    if "e" not in text:
        return text
    if 1e4 <= abs(value) < 1e6:
        return f"{float(text):,.0f}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}"


def _whole(value: float) -> str:
    if abs(value) < 1e9:
        return f"{value:,.0f}"
    return format_count(value) if abs(value) < 1e15 else format_number(value)


_WRITERS: dict[str, Callable[[float], str]] = {
    "bytes": format_bytes,
    "seconds": format_seconds,
    "share": format_share,
    "parameters": _whole,
    "count": _whole,
    "watt-hours": lambda value: f"{value:.3g} Wh",
}


def write(value: float, unit: str) -> str:
    """A value with its unit, for a reader: ``(9.1e8, "bytes")`` -> ``"867.8 MiB"``.

    Args:
        value: in the canonical unit.
        unit: bytes, seconds, share, count, parameters or watt-hours; any other, such as ``"J"``,
            stands behind the number.
    """
    writer = _WRITERS.get(unit)
    return writer(value) if writer else f"{format_number(value)} {unit}".rstrip()


def scale(largest: float, unit: str) -> tuple[float, str]:
    """By what to divide values up to ``largest`` so that an axis has round ticks, and its unit.

    ``(3e10, "bytes")`` -> ``(2**30, "GiB")``. Shares and counts say their unit in each tick.
    """
    if unit in ("share", "count", "parameters"):
        return 1.0, ""
    steps = {"bytes": ("GiB", "MiB", "KiB", "B"), "seconds": ("d", "h", "min", "s", "ms")}.get(unit)
    if steps is None:
        return 1.0, {"watt-hours": "Wh"}.get(unit, unit)
    factors = {_pretty(name): factor for name, factor in _FACTORS[unit].items()}
    name = next((name for name in steps if largest >= 2 * factors[name]), steps[-1])
    return factors[name], name
