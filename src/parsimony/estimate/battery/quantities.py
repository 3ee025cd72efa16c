"""What a user writes on the command line about a curve: its noise and its columns."""

from __future__ import annotations

import re
from typing import Literal

from parsimony.core.errors import InputError, nearest
from parsimony.estimate.battery.discharge import check_noise

_QUANTITY = re.compile(r"([0-9.eE+-]+)\s*(mV|V)")


def volts(text: str, *, zero: bool = False) -> float | Literal["auto"]:
    """``"3mV"`` -> 0.003; ``"auto"`` stays.

    Args:
        text: a number with its unit, mV or V; or auto.
        zero: whether none at all is allowed, and auto is not.

    Raises:
        InputError: no such text; zero or too much.
    """
    if text == "auto" and not zero:
        return "auto"
    found = _QUANTITY.fullmatch(text.strip())
    try:
        value = float(found[1]) * (1e-3 if found[2] == "mV" else 1.0) if found else float("nan")
    except ValueError:
        value = float("nan")
    if value != value:
        raise InputError(
            "the noise must be a number with its unit, such as 3mV", got=text,
            hint="" if zero else "Or 'auto'",
        )  # fmt: skip
    return 0.0 if zero and value == 0 else check_noise(value)


def names(text: str) -> dict[str, str]:
    """``"time=t,voltage=U"`` -> ``{"time": "t", "voltage": "U"}``.

    Raises:
        InputError: not such pairs.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, equal, column in pairs:
        if name.strip() not in ("time", "voltage") or not equal or not column.strip():
            raise InputError(
                "columns are given as time=NAME,voltage=NAME", got=text,
                hint=nearest(name.strip(), ("time", "voltage")),
            )  # fmt: skip
    return {name.strip(): column.strip() for name, _, column in pairs}
