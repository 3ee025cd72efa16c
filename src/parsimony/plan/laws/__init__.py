"""The laws: one file per mechanism; ``laws`` finds them by looking."""

from __future__ import annotations

import functools

from parsimony.core.errors import InputError, nearest
from parsimony.core.fitting import Law
from parsimony.core.registry import discover


@functools.cache
def laws() -> dict[str, type[Law]]:
    """Every law by name. Outside packages add theirs under the entry point ``parsimony.plan``."""
    return discover("parsimony.plan.laws", Law, "parsimony.plan")  # type: ignore[type-abstract]


def law(name: str) -> Law:
    """The law of that name.

    Raises:
        InputError: there is none; the nearest is named.
    """
    if name not in laws():
        raise InputError(f"unknown law '{name}'", hint=nearest(name, laws()))
    return laws()[name]()
