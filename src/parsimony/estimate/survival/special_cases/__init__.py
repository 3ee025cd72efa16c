"""The special cases of the family: one file each, found by looking."""

from __future__ import annotations

import functools

from parsimony.core.errors import nearest
from parsimony.core.registry import discover
from parsimony.estimate.errors import EstimatorInputError
from parsimony.estimate.survival.special_cases.base import SpecialCase

__all__ = ["SpecialCase", "special_case", "special_cases"]


@functools.cache
def special_cases() -> dict[str, type[SpecialCase]]:
    """Every special case by name, the family itself among them."""
    return discover("parsimony.estimate.survival.special_cases", SpecialCase)  # type: ignore[type-abstract]


def special_case(name: str) -> SpecialCase:
    """The special case of that name; "Burr XII" is "burr-xii".

    Raises:
        EstimatorInputError: there is none; the nearest is named.
    """
    known = "-".join(str(name).lower().replace("-", " ").replace("_", " ").split())
    if known not in special_cases():
        raise EstimatorInputError(
            f"unknown family '{name}'", hint=nearest(known, [*special_cases(), "auto"])
        )
    return special_cases()[known]()
