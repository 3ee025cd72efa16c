"""Predictions beside what happened: the errors of our own forecasts are for everybody to see."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.footprint import Figure, Footprint

FILE = "ledger.json"

_UNITS = {
    "parameters": "count", "trainable": "count", "head": "count", "stored_bytes": "bytes",
    "flops": "operations", "peak_memory": "bytes", "seconds": "seconds", "energy": "watt-hours",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One prediction and its outcome.

    Attributes:
        subject: what was predicted, e.g. a candidate's name.
        quantity: a field of ``Footprint``.
        unit: of both values.
        predicted: before the run; ``None`` with ``reason``.
        measured: after it; ``None`` with ``reason``.
        error: (predicted - measured) / measured; ``None`` where either is unknown or the
            measured value is 0.
        reason: why there is no error.
    """

    subject: str
    quantity: str
    unit: str
    predicted: float | None
    measured: float | None
    error: float | None
    reason: str = ""


def compare(subject: str, predicted: Footprint, measured: Footprint) -> list[Entry]:
    """Entries for every quantity that either side speaks of."""
    entries = []
    for field in fields(Footprint):
        before, after = getattr(predicted, field.name), getattr(measured, field.name)
        if not before.known and not after.known and before.note == after.note == "not asked for":
            continue
        error = None
        if before.value is not None and after.value:
            error = (before.value - after.value) / after.value
        reason = "" if error is not None else _reason(before, after)
        entries.append(
            Entry(subject, field.name, _UNITS[field.name], before.value, after.value, error, reason)
        )
    return entries


def _reason(before: Figure, after: Figure) -> str:
    if before.known and after.known:
        return "nothing was measured to divide by: the value is 0"
    return after.note if before.known else before.note


def write(folder: Path, entries: list[Entry]) -> None:
    """Store the entries of one run."""
    artifacts.write_json(folder / FILE, [asdict(entry) for entry in entries])


def read(folder: Path) -> list[tuple[str, Entry]]:
    """(run, entry) of every ledger below ``folder``, in path order.

    Raises:
        InputError: there is none.
        ArtifactError: a file that is not a ledger.
    """
    files = sorted(folder.rglob(FILE)) if folder.is_dir() else []
    if not files:
        raise InputError(
            "no ledger found below this folder", got=str(folder), hint="Finish a run first"
        )
    found = []
    for file in files:
        run = file.parent.relative_to(folder).as_posix() if file.parent != folder else folder.name
        try:
            found += [(run, Entry(**entry)) for entry in artifacts.read_json(file)]
        except TypeError as error:
            raise ArtifactError(f"{file} must hold a list of entries ({error})") from error
    return found


def summary(entries: list[Entry]) -> list[dict[str, Any]]:
    """Per quantity: how many predictions, median absolute error, worst under- and over-estimate."""
    rows = []
    for quantity in _UNITS:
        errors = [e.error for e in entries if e.quantity == quantity and e.error is not None]
        unknown = sum(1 for e in entries if e.quantity == quantity and e.error is None)
        if not errors and not unknown:
            continue
        rows.append(
            {
                "quantity": quantity,
                "predictions": len(errors),
                "unknown": unknown,
                "median_absolute_error": statistics.median(map(abs, errors)) if errors else None,
                "worst_under": min(errors) if errors and min(errors) < 0 else None,
                "worst_over": max(errors) if errors and max(errors) > 0 else None,
            }
        )
    return rows
