"""Kilograms of CO2 equivalent of an amount of electricity.

kg = PUE * kWh * (g/kWh) / 1000

Intensities by country are those of CodeCarbon's package (Our World in Data, year in the file).
"""

from __future__ import annotations

import json
from pathlib import Path

from parsimony.core.errors import InputError, nearest, require

WORLD_AVERAGE = 475.0
"""g/kWh where the country is not known; CodeCarbon's fallback."""


def intensity(country: str) -> float:
    """Grams of CO2 equivalent per kWh of a country's electricity.

    Args:
        country: ISO 3166 code of three letters.

    Raises:
        InputError: an unknown code.
        MissingExtraError: codecarbon is not installed.
    """
    package = Path(str(require("codecarbon", "energy").__file__)).parent
    file = package / "data" / "private_infra" / "global_energy_mix.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    if country not in known:
        close = nearest(country, known).partition(" Known: ")[0]
        hint = close if close.startswith("Did") else "For example FRA, USA or GBR"
        raise InputError(
            f"no carbon intensity is known for the country '{country}'",
            hint=f"{hint}; or give the intensity in g/kWh (world average {WORLD_AVERAGE:g})",
        )
    return float(known[country]["carbon_intensity"])


def kilograms(joules: float, grams_per_kwh: float, pue: float = 1.0) -> float:
    """Kilograms of CO2 equivalent.

    Args:
        joules: of electricity, at the machine.
        grams_per_kwh: carbon intensity; in grams, so at least 5.
        pue: power usage effectiveness of the building, at least 1.

    Raises:
        InputError: an intensity that looks like kilograms, a PUE below 1, negative energy.
    """
    if not 5 <= grams_per_kwh < float("inf"):
        raise InputError(
            "a carbon intensity is in g/kWh and at least 5", got=grams_per_kwh,
            hint="If this is in kg/kWh, multiply by 1000",
        )  # fmt: skip
    if not pue >= 1 or joules < 0:
        raise InputError("energy must not be negative nor a PUE below 1", got=(joules, pue))
    return pue * joules / 3.6e6 * grams_per_kwh / 1000
