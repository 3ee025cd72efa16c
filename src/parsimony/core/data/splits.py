"""Take a subsample and cut validation and test off, by content and seed alone.

A row's place depends on its cells, the seed and the other rows; never on the order of the file.
Sampling is scikit-learn's, whose stream of random numbers is fixed across versions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from parsimony.core.errors import DataError, InputError

HELD_OUT = 0.2  # share of validation and of test; training keeps 60 %, or 80 % of its own split

Strata = dict[Hashable, list[int]]


def strata(table: pd.DataFrame, column: str | None) -> Strata:
    """Row positions by class, classes sorted; one stratum when ``column`` is ``None``."""
    if column is None:
        return {"": list(range(len(table)))}
    found: Strata = {}
    for position, value in enumerate(table[column]):
        found.setdefault(value, []).append(position)
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def cut(
    table: pd.DataFrame,
    held_out: Sequence[str],
    *,
    seed: int,
    file: str,
    by_class: bool,
    group: str | None = None,
) -> dict[str, pd.DataFrame]:
    """Cut a fifth off for each name of ``held_out``; the rest is ``"train"``.

    Every class (or the whole, when not ``by_class``) is cut on its own, so that each split gets
    its rounded fifth and at least one row. Rows of equal ``group`` stay together; then the fifth
    counts groups.

    Raises:
        DataError: a class has fewer rows than there are splits.
    """
    needed = len(held_out) + 1
    places: dict[str, list[int]] = {name: [] for name in ("train", *held_out)}
    parts = strata(table, "label" if by_class else None)
    if group is not None:
        members = strata(table, group)
        parts = {"": list(range(len(members)))}
    _refuse_small(parts, needed, file, by_class=by_class, group=group)
    for number, rest in enumerate(parts.values()):
        size = max(1, round(HELD_OUT * len(rest)))
        for name in held_out:
            state = _state(seed, number)
            rest, taken = train_test_split(rest, test_size=size, random_state=state)
            places[name] += taken
        places["train"] += rest
    if group is not None:
        rows = list(members.values())
        places = {name: [row for i in units for row in rows[i]] for name, units in places.items()}
    return {name: table.iloc[sorted(positions)] for name, positions in places.items()}


def _state(seed: int, number: int) -> int:
    """A random state of its own for each class, so that classes of one size are cut differently."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _refuse_small(
    parts: Strata, needed: int, file: str, *, by_class: bool, group: str | None
) -> None:
    small = {name: len(rows) for name, rows in parts.items() if len(rows) < needed}
    if not small:
        return
    name, count = next(iter(small.items()))
    if not by_class:
        raise DataError(
            f"splitting needs at least {needed} different {'files' if group else 'rows'}",
            file=file,
            got=count,
            hint="Add rows, or give a folder with train, validation and test files",
        )
    others = f" ({len(small)} classes are that small)" if len(small) > 1 else ""
    raise DataError(
        f"every class needs at least {needed} different rows, one for each split, "
        f"but class '{name}' has {count}{others}",
        file=file,
        hint="Add rows of that class, merge it into another, or remove it",
    )


def sample(
    table: pd.DataFrame, limit: int, *, seed: int, by_class: bool, least: int, what: str
) -> pd.DataFrame:
    """Keep ``limit`` rows, each class in proportion but with at least ``least`` rows.

    ``what`` names the table in the error.

    Raises:
        InputError: ``limit`` has no room for ``least`` rows of every class.
    """
    if limit >= len(table):
        return table
    parts = strata(table, "label" if by_class else None)
    floor = sum(min(least, len(rows)) for rows in parts.values())
    if limit < floor:
        raise InputError(
            f"a limit needs room for {floor} rows of {what}, so that every class is in every split",
            got=limit,
            hint="Raise --limit",
        )
    sizes = _quotas([len(rows) for rows in parts.values()], limit, least)
    kept: list[int] = []
    for number, (rows, size) in enumerate(zip(parts.values(), sizes, strict=True)):
        if size < len(rows):
            state = _state(seed, number)
            rows, _ = train_test_split(rows, train_size=size, random_state=state)
        kept += rows
    return table.iloc[sorted(kept)]


def _quotas(counts: list[int], total: int, least: int) -> list[int]:
    """Share ``total`` in proportion to ``counts`` by largest remainder, ``least`` for each."""
    exact = [total * count / sum(counts) for count in counts]
    sizes = [min(count, max(least, int(share))) for count, share in zip(counts, exact, strict=True)]
    while (missing := total - sum(sizes)) != 0:
        step = 1 if missing > 0 else -1
        open_ = [
            i
            for i, size in enumerate(sizes)
            if (size < counts[i] if step > 0 else size > min(least, counts[i]))
        ]
        sizes[max(open_, key=lambda i: step * (exact[i] - sizes[i]))] += step
    return sizes
