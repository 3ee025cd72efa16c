"""What a run found, as a few numbers, each with its interval or the reason why it has none.

A command writes them beside its result, in a file so small that a thousand runs are listed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError

FILE = "headlines.json"
COUNTED = "counted, so the same every time"
ONCE = "measured once"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Headline(_Record):
    """One number.

    Attributes:
        name: what it is, the same in every run of its command that has it.
        value: in ``unit``.
        unit: of ``core.units.write``; ``""`` for a plain number.
        low, high: ends of its interval, or ``None``.
        reason: why there is no interval; empty where there is one.
    """

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _an_interval_or_a_reason(self) -> Self:
        if (self.low is None) != (self.high is None) or (self.low is None) != bool(self.reason):
            raise ValueError(f"'{self.name}' needs both ends of an interval, or why it has none")
        return self

    @classmethod
    def of(cls, name: str, interval: Mapping[str, float], unit: str = "") -> Self:
        """From ``{"estimate", "low", "high"}``, as results hold intervals."""
        low, high = interval["low"], interval["high"]
        return cls(name=name, value=interval["estimate"], low=low, high=high, unit=unit)


class Headlines(_Record):
    """``headlines.json``.

    Attributes:
        command: that made the run, such as ``"adapt"``.
        subject: what it was about, in a few words.
        numbers: the most telling first; no name twice.
    """

    command: str
    subject: str
    numbers: list[Headline]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [number.name for number in self.numbers]
        if len(set(names)) != len(names):
            raise ValueError("every headline needs a name of its own")
        return self


def write(folder: Path, command: str, subject: str, numbers: Sequence[Headline]) -> None:
    """Write ``headlines.json`` into a run folder, atomically."""
    told = Headlines(command=command, subject=subject, numbers=list(numbers))
    artifacts.write_json(folder / FILE, told.model_dump(mode="json"))


def read(folder: Path) -> Headlines | None:
    """The headlines of a run; ``None`` where it has none (yet).

    Raises:
        ArtifactError: the file cannot be read; names it.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    found: Any = artifacts.read_json(path)
    try:
        return Headlines.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ArtifactError(f"{path}: {place}: {first['msg']}", hint="Start the run anew") from None
