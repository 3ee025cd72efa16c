"""Predictions beside what happened: the errors of our own forecasts are for everybody to see."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.footprint import Figure, Footprint

FILE = "ledger.json"
LEVEL = 0.8
"""Share of new measurements that an interval should hold."""
_TAIL = 10  # one in so many lies above the interval, and one below
LEAST = _TAIL - 1
"""Fewest graded predictions that give an interval: 8 of 10 lie between the ends of 9 others."""

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
        verb: command that predicted, e.g. ``"adapt"``.
        method: that the subject is a setting of; empty for a run as a whole.
        provenance: how the prediction was made; empty where it is unknown.
    """

    subject: str
    quantity: str
    unit: str
    predicted: float | None
    measured: float | None
    error: float | None
    reason: str = ""
    verb: str = ""
    method: str = ""
    provenance: str = ""


@dataclass(frozen=True)
class Interval:
    """Where ``LEVEL`` of new measurements should lie, by the errors of earlier predictions.

    Attributes:
        low: in the unit of the figure; ``None`` without enough predictions.
        high: the other end; ``None`` as well.
        basis: which predictions it rests on, or why there is none.
    """

    low: float | None
    high: float | None
    basis: str


def compare(
    subject: str, predicted: Footprint, measured: Footprint, *, verb: str = "", method: str = ""
) -> list[Entry]:
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
            Entry(subject, field.name, _UNITS[field.name], before.value, after.value, error, reason,
                  verb, method, before.provenance or "")
        )  # fmt: skip
    return entries


def _reason(before: Figure, after: Figure) -> str:
    if before.known and after.known:
        return "nothing was measured to divide by: the value is 0"
    return after.note if before.known else before.note


def write(folder: Path, entries: list[Entry]) -> None:
    """Store the entries of one run."""
    artifacts.write_json(folder / FILE, [asdict(entry) for entry in entries])


def read(place: Path) -> list[tuple[str, Entry]]:
    """(run, entry) of every ledger below a folder, in path order.

    Args:
        place: a folder; or a file of ``parsimony plan ledger --json``.

    Raises:
        InputError: there is none.
        ArtifactError: a file that is not a ledger.
    """
    if place.is_file():
        try:
            return [
                (entry.pop("run"), Entry(**entry))
                for entry in artifacts.read_json(place)["entries"]
            ]
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{place} must be what 'parsimony plan ledger --json' prints ({error!r})"
            ) from error
    files = sorted(place.rglob(FILE))
    if not files:
        raise InputError(
            "no ledger found below this folder", got=str(place), hint="Finish a run first"
        )
    found = []
    for file in files:
        run = file.parent.relative_to(place).as_posix() if file.parent != place else place.name
        try:
            found += [(run, Entry(**entry)) for entry in artifacts.read_json(file)]
        except TypeError as error:
            raise ArtifactError(f"{file} must hold a list of entries ({error})") from error
    return found


def machines(place: Path) -> list[str]:
    """Kinds of machine that the runs below a folder ran on, or that a file of them names."""
    if place.is_file():
        return list(artifacts.read_json(place).get("machines", []))
    told = set()
    for file in place.rglob(FILE):
        if (file.parent / "environment.json").is_file():
            found = artifacts.read_json(file.parent / "environment.json")["machine"]
            told.add(f"{found['cores']} cores of {found['processor']}, {found['system']}")
    return sorted(told)


def interval(entry: Entry, past: Iterable[Entry]) -> Interval:
    """The interval of a prediction: earlier ratios of measured to predicted, their tails cut off.

    If the new prediction and the n earlier ones are exchangeable, the ratio lies between the k-th
    smallest and the k-th largest with probability 1 - 2 k / (n + 1), which is at least ``LEVEL``
    for the k used here (Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a Random World,
    section 2.2). Predictions of one run share a calibration, so they are not quite: ``coverage``
    says what such intervals held.

    Args:
        entry: the prediction; what was measured is not looked at.
        past: graded predictions; those of the same verb, quantity and provenance count. An estimate
            goes by its method where there are ``LEAST`` of them, else by all methods. A count errs
            by its method's own rule and goes by nothing else.
    """
    if entry.predicted is None:
        return Interval(None, None, entry.reason)
    alike = [e for e in past if _kind(e) == _kind(entry) and e.error is not None and e.predicted]
    own = [e for e in alike if e.method == entry.method]
    alone = len(own) >= LEAST or entry.provenance == "computed"
    used, of = (own, entry.method) if alone else (alike, "all methods")
    count = f"{len(used)} graded predictions{f' of {of}' if entry.method else ''}"
    if len(used) < LEAST:
        return Interval(None, None, f"{count} like this one, and an interval takes {LEAST}")
    ratios = sorted((e.measured or 0.0) / (e.predicted or 1.0) for e in used)
    cut = (len(ratios) + 1) // _TAIL
    return Interval(entry.predicted * ratios[cut - 1], entry.predicted * ratios[-cut], count)


def coverage(entry: Entry, found: list[tuple[str, Entry]]) -> float | None:
    """Share of past predictions like ``entry`` whose interval by other runs held the outcome."""
    held = [
        inside
        for run, other in found
        if _kind(other) == _kind(entry) and (inside := _held(run, other, found)) is not None
    ]
    return statistics.fmean(held) if held else None


def _kind(entry: Entry) -> tuple[str, str, str, bool]:
    return entry.verb, entry.quantity, entry.provenance, bool(entry.method)


def _held(run: str, entry: Entry, found: list[tuple[str, Entry]]) -> bool | None:
    """Whether the interval by all other runs holds what was measured; ``None`` without one."""
    told = interval(entry, [e for other, e in found if other != run])
    if told.low is None or told.high is None or entry.measured is None:
        return None
    return told.low <= entry.measured <= told.high


def summary(found: list[tuple[str, Entry]], *, per_method: bool = False) -> list[dict[str, Any]]:
    """Rows of errors by quantity, or by quantity, verb and method (empty for whole runs).

    Each has the number of graded predictions and of those without an error, the median absolute
    error, the worst under- and over-estimate, how many had an interval by the predictions of all
    other runs, and the share of those that held the measured value (``None`` where none had).
    """
    groups: dict[tuple[str, ...], list[tuple[str, Entry]]] = {}
    for run, entry in sorted(found, key=lambda pair: _place(pair[1])):
        more = (entry.verb, entry.method) if per_method else ()
        groups.setdefault((entry.quantity, *more), []).append((run, entry))
    rows = []
    for key, group in groups.items():
        errors = [entry.error for _, entry in group if entry.error is not None]
        held = [inside for run, entry in group if (inside := _held(run, entry, found)) is not None]
        rows.append(
            {
                **dict(zip(("quantity", "verb", "method"), key, strict=False)),
                "predictions": len(errors),
                "unknown": len(group) - len(errors),
                "median_absolute_error": statistics.median(map(abs, errors)) if errors else None,
                "worst_under": min(errors) if errors and min(errors) < 0 else None,
                "worst_over": max(errors) if errors and max(errors) > 0 else None,
                "intervals": len(held),
                "coverage": statistics.fmean(held) if held else None,
            }
        )
    return rows


def _place(entry: Entry) -> tuple[int, str, str]:
    return list(_UNITS).index(entry.quantity), entry.verb, entry.method
