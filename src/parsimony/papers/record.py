"""Runs claims and keeps what they found: one JSON file per paper, the history of each claim."""

from __future__ import annotations

import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError, MissingExtraError
from parsimony.papers.catalogue import Card
from parsimony.papers.claim import LEVELS, Claim, Level, Measurement, judge
from parsimony.papers.tables import MissingTableError

RESULTS = Path(__file__).parent / "results"

State = Literal["not yet", "green", "red", "stale"]


@dataclass(frozen=True)
class Result:
    """One run of one claim.

    Attributes:
        claim: the claim's name.
        value: the figure, or ``None`` when the claim raised or gave no finite number.
        interval: lower and upper bound, or ``None``.
        passed: the verdict.
        note: the measurement's note.
        error: type and text of what the claim raised; empty otherwise.
        date: UTC, ISO 8601.
        seconds: wall time of the claim, its imports included.
        command: what was typed.
        versions: of Python, parsimony and the libraries present.
        machine: kind of processor, number of CPUs, and ``"cpu"`` or ``"cuda:<name>"``.
        fingerprint: of the card that was run.
    """

    claim: str
    value: float | None
    interval: tuple[float, float] | None
    passed: bool
    note: str
    error: str
    date: str
    seconds: float
    command: str
    versions: dict[str, str]
    machine: dict[str, str | int]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """Inverse of ``as_dict``."""
        bounds = data["interval"]
        return cls(**{**data, "interval": None if bounds is None else tuple(bounds)})


@dataclass(frozen=True)
class Standing:
    """Where a card stands, from the newest result of each of its claims.

    Attributes:
        state: ``red`` when any newest result failed; else ``stale`` when the card changed after
            any of them; else ``green``; ``not yet`` when no claim was ever run.
        claims: how many the card has.
        run: how many have a result; a green card may have claims that nobody ran.
        passed: how many newest results passed.
    """

    state: State
    claims: int
    run: int
    passed: int


def execute(card: Card, claim: Claim, command: str) -> Result:
    """Run one claim and judge it. A claim that raises has failed, with the error's text kept.

    Raises:
        MissingExtraError: a package the claim needs is absent; that says nothing on the paper.
        MissingTableError: nor does a table that is absent.
    """
    started = time.perf_counter()
    measurement, error = None, ""
    try:
        measurement = claim.run()
        if not isinstance(measurement, Measurement):
            error = f"TypeError: the claim returned {type(measurement).__name__}, no Measurement"
            measurement = None
    except (MissingExtraError, MissingTableError):
        raise
    except Exception as problem:
        error = " ".join(f"{type(problem).__name__}: {problem}".split())
    seconds = time.perf_counter() - started
    return Result(
        claim=claim.name,
        value=_finite(measurement.value) if measurement else None,
        interval=_bounds(measurement) if measurement else None,
        passed=measurement is not None and judge(claim, measurement),
        note=measurement.note if measurement else "",
        error=error,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        command=command,
        versions=_versions(),
        machine={"platform": platform.machine(), "cpus": os.cpu_count() or 0, "device": _device()},
        fingerprint=card.fingerprint,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bounds(measurement: Measurement) -> tuple[float, float] | None:
    bounds = measurement.interval
    return bounds if bounds is not None and all(map(math.isfinite, bounds)) else None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    names = ("parsimony-ml", "torch", "transformers", "peft")
    for name in names:
        try:
            found[name.removesuffix("-ml")] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _device() -> str:
    # A claim that never loaded torch cannot have used a GPU, so torch is not loaded to ask.
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{torch.cuda.get_device_name()}"


def history(slug: str, folder: Path | None = None) -> dict[str, list[Result]]:
    """Every recorded result of a paper by claim, newest last; empty when none was recorded.

    Raises:
        ArtifactError: the record is not what ``append`` writes.
    """
    file = _file(slug, folder)
    if not file.exists():
        return {}
    data = artifacts.read_json(file)
    try:
        return {name: [Result.from_dict(r) for r in rs] for name, rs in data["claims"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"the record {file} must hold results by claim ({error})",
            hint="Restore it from version control",
        ) from None


def append(slug: str, result: Result, folder: Path | None = None) -> None:
    """Add one result to a paper's record, atomically."""
    known = history(slug, folder)
    known.setdefault(result.claim, []).append(result)
    _write(slug, known, folder)


def merge(slug: str, results: Sequence[Result], folder: Path | None = None) -> None:
    """Add those of ``results`` that a paper's record lacks, by date, atomically."""
    known = history(slug, folder)
    for result in results:
        there = known.setdefault(result.claim, [])
        if result not in there:
            there.append(result)
            there.sort(key=lambda one: one.date)
    _write(slug, known, folder)


def _write(slug: str, known: Mapping[str, Sequence[Result]], folder: Path | None) -> None:
    claims = {name: [r.as_dict() for r in results] for name, results in known.items()}
    artifacts.write_json(_file(slug, folder), {"slug": slug, "claims": claims})


def check_writable(folder: Path | None = None) -> None:
    """Refuse before any claim runs when its result could not be kept.

    Raises:
        InputError: the folder of results cannot be written.
    """
    folder = folder or RESULTS
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError:
        raise InputError(
            f"the folder of results, {folder}, must be writable",
            hint="Run without --record, or from a checkout that you can write to",
        ) from None


def _file(slug: str, folder: Path | None) -> Path:
    return (folder or RESULTS) / f"{slug}.json"


def newest(card: Card, folder: Path | None = None) -> dict[str, Result]:
    """The last result of each claim the card still has, in the card's order."""
    known = history(card.slug, folder) if card.claims else {}
    return {c.name: known[c.name][-1] for c in card.claims if known.get(c.name)}


def standing(card: Card, folder: Path | None = None) -> Standing:
    """See ``Standing``. A card without claims is never green."""
    return stand(card, card.claims, newest(card, folder))


def by_level(card: Card, latest: Mapping[str, Result]) -> dict[Level, Standing]:
    """Where the claims of each level stand, all levels named.

    Args:
        card: whose claims.
        latest: the newest result of each claim that has one, see ``newest``.
    """
    return {
        level: stand(card, [c for c in card.claims if c.level == level], latest) for level in LEVELS
    }


def stand(card: Card, claims: Sequence[Claim], latest: Mapping[str, Result]) -> Standing:
    """Where these claims of a card stand, given the newest result of each that has one."""
    results = [latest[c.name] for c in claims if c.name in latest]
    return Standing(
        state=state_of(card, results),
        claims=len(claims),
        run=len(results),
        passed=sum(r.passed for r in results),
    )


def state_of(card: Card, latest: Sequence[Result]) -> State:
    """The state that these newest results of ``card`` give; see ``Standing``."""
    if not latest:
        return "not yet"
    if not all(r.passed for r in latest):
        return "red"
    return "green" if all(r.fingerprint == card.fingerprint for r in latest) else "stale"


def reproduce_command(slug: str, level: str, record: bool = False) -> str:
    """What to type to run the claims of a paper up to ``level``."""
    words = ["parsimony", "papers", "reproduce", slug, "--level", level]
    return shlex.join([*words, "--record"] if record else words)
