"""What the report reads from an `adapt` run folder.

Keys the report does not show are ignored, so newer runs stay readable; a missing key it needs is an
error that names the file and the key. Optional values are ``None`` and shown as unknown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parsimony.core import artifacts, pages
from parsimony.core.errors import ArtifactError


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Interval(_Record):
    """An estimate with the ends of its interval, in the unit of the metric."""

    estimate: float
    low: float
    high: float


class Model(_Record):
    name: str
    parameters: int | None = Field(default=None, gt=0)
    sha256: str | None = None


class Data(_Record):
    name: str
    task: str | None = None
    fingerprint: str | None = None
    rows: dict[str, int] = {}
    classes: int | None = None
    notices: list[str] = []

    @property
    def splits(self) -> list[tuple[str, int]]:
        """Rows per split, in the order of their use."""
        order = ["train", "validation", "test"]
        return sorted(
            self.rows.items(),
            key=lambda item: order.index(item[0]) if item[0] in order else len(order),
        )


class Metric(_Record):
    """``unit`` "share" means a fraction in [0, 1], shown as percent."""

    name: str
    unit: str | None = None
    higher_is_better: bool = True


class Recommendation(_Record):
    candidate: str
    sentence: str
    no_difference: bool = False
    tied_with: list[str] = []
    artifact: str | None = None
    load: str | None = None


class Baseline(_Record):
    candidate: str
    sentence: str
    difference: Interval | None = None


class Beside(_Record):
    """A share that is shown and does not rank; ``difference`` as in ``Row``."""

    name: str
    score: Interval
    difference: Interval | None = None


class Row(_Record):
    """One finalist. ``difference`` is its paired difference to the best, ``None`` for the best."""

    candidate: str
    score: Interval
    verdict: Literal["recommended", "no difference", "worse"]
    method: str | None = None
    settings: dict[str, Any] = {}
    seeds: list[int] = []
    difference: Interval | None = None
    validation: float | None = None
    trainable: int | None = Field(default=None, ge=0)
    trainable_share: float | None = None
    stored_bytes: float | None = None
    predicted_memory: float | None = None
    measured_memory: float | None = None
    mergeable: bool | None = None
    beside: list[Beside] = []


class Trial(_Record):
    id: str
    candidate: str
    rung: int
    seed: int | None = None
    steps: int | None = None
    validation: float | None = None
    promoted: bool | None = None
    settings: dict[str, Any] = {}
    folder: str | None = None


class Dropped(_Record):
    method: str
    reason: str


class Search(_Record):
    resamples: int | None = None
    confidence: float | None = None
    metric: Metric | None = None


class Result(_Record):
    """``result.json``."""

    kind: Literal["adapt"]
    model: Model
    data: Data
    metric: Metric
    recommendation: Recommendation
    leaderboard: list[Row] = Field(min_length=1)
    budget: str | None = None
    baseline: Baseline | None = None
    trials: list[Trial] = []
    dropped: list[Dropped] = []
    search: Search = Search()

    @model_validator(mode="after")
    def _recommends_a_row(self) -> Result:
        if self.recommendation.candidate not in {row.candidate for row in self.leaderboard}:
            raise ValueError("the recommended candidate must stand in the leaderboard")
        return self

    @property
    def searched(self) -> Metric:
        """What trials were ranked by before the final comparison."""
        return self.search.metric or self.metric

    @property
    def recommended(self) -> Row:
        name = self.recommendation.candidate
        return next(row for row in self.leaderboard if row.candidate == name)


class Entry(_Record):
    """One line of ``ledger.json``; ``error`` is (predicted - measured) / measured."""

    subject: str
    quantity: str
    unit: str = ""
    predicted: float | None = None
    measured: float | None = None
    error: float | None = None
    reason: str | None = None


class Ledger(_Record):
    entries: list[Entry]


class Setting(_Record):
    value: Any
    source: str


class Config(_Record):
    settings: dict[str, Setting]


class Environment(_Record):
    versions: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    seed: int | None = None


_R = TypeVar("_R", bound=BaseModel)


def read_result(run: Path) -> Result:
    """Read ``result.json``.

    Raises:
        ArtifactError: no such folder, not a finished run, or a file the report cannot read.
    """
    if not run.is_dir():
        raise ArtifactError(f"the run folder {run} must exist", hint="Check the path")
    path = run / "result.json"
    if not path.is_file():
        hint = (
            "The run is not finished: continue it with --resume, then ask for the report again"
            if (run / "config.json").is_file()
            else "A run folder is what 'parsimony adapt' writes; check the path"
        )
        raise ArtifactError(f"{run} holds no result.json, so there is nothing to report", hint=hint)
    return _with_memory(_validate(Result, artifacts.read_json(path), path), read_ledger(run))


def _with_memory(result: Result, ledger: list[Entry] | None) -> Result:
    """Enter the ledger's peak memory into the leaderboard; the result holds nothing measured."""
    peaks = {e.subject: e for e in ledger or () if e.quantity == "peak_memory"}
    rows = [
        row.model_copy(
            update={
                "predicted_memory": peaks[row.candidate].predicted,
                "measured_memory": peaks[row.candidate].measured,
            }
        )
        if row.candidate in peaks
        else row
        for row in result.leaderboard
    ]
    return result.model_copy(update={"leaderboard": rows})


def read_page(run: Path) -> pages.Page | None:
    """``page.json``; ``None`` without the file.

    Raises:
        ArtifactError: not a page.
    """
    path = run / pages.FILE
    return _validate(pages.Page, artifacts.read_json(path), path) if path.is_file() else None


def read_ledger(run: Path) -> list[Entry] | None:
    """The lines of ``ledger.json``; ``None`` without the file."""
    path = run / "ledger.json"
    if not path.is_file():
        return None
    return _validate(Ledger, {"entries": artifacts.read_json(path)}, path).entries


def read_config(run: Path) -> Config | None:
    path = run / "config.json"
    return _validate(Config, artifacts.read_json(path), path) if path.is_file() else None


def read_environment(run: Path) -> Environment | None:
    path = run / "environment.json"
    return _validate(Environment, artifacts.read_json(path), path) if path.is_file() else None


def read_events(run: Path, trial: Trial) -> list[dict[str, float]]:
    """Events of one trial, oldest first; empty without the file.

    A last line that was cut by a kill is left out.

    Raises:
        ArtifactError: any other line that is not an event.
    """
    path = artifacts.inside(run, trial.folder or f"trials/{trial.id}") / "events.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    events: list[dict[str, float]] = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):
                break
            event = None
        if not isinstance(event, dict):
            raise ArtifactError(f"{path}, line {number}: an event must be a JSON object", got=line)
        events.append(event)
    return events


def _validate(kind: type[_R], value: object, path: Path) -> _R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "entries")
        raise ArtifactError(
            f"{path}: {place or 'the file'} does not fit the report ({first['msg']})",
            hint="The run may be of another version of parsimony; run it again",
        ) from None
