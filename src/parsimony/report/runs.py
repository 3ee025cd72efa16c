"""Lists runs from their small files: what each was, whether it is complete, what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parsimony.core import artifacts, headlines
from parsimony.core.errors import ArtifactError
from parsimony.core.headlines import Headlines
from parsimony.core.pages import Column, Page, Section, Table
from parsimony.report import numbers

MARK = "config.json"
"""A folder with this file is a run."""
COLUMNS = ("run", "command", "about", "state", "date (UTC)", "first number")


@dataclass(frozen=True)
class Listed:
    """One run.

    Attributes:
        folder: of the run.
        complete: whether its manifest is there.
        changed: when it was completed, or begun where it is not complete; UTC.
        told: its headlines; ``None`` before it has any.
    """

    folder: Path
    complete: bool
    changed: datetime
    told: Headlines | None

    @property
    def found(self) -> str:
        """The first headline in words, or why there is none."""
        if self.told is not None and self.told.numbers:
            first = self.told.numbers[0]
            return f"{first.name} {numbers.headline(first)}"
        return "no headline was written" if self.complete else "not finished"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "run": str(self.folder),
            "complete": self.complete,
            "date": self.changed.isoformat(timespec="seconds"),
            **(self.told.model_dump() if self.told else {"command": None, "numbers": []}),
        }


def below(path: Path) -> list[Path]:
    """The runs right below a folder that is none itself, by name."""
    return [] if (path / MARK).is_file() else sorted(f.parent for f in path.glob(f"*/{MARK}"))


def find(paths: Sequence[Path]) -> list[Path]:
    """The runs among ``paths`` and the runs right below those that are none, by name.

    Raises:
        ArtifactError: a path holds no run.
    """
    found: list[Path] = []
    for path in paths:
        runs = [path] if (path / MARK).is_file() else below(path)
        if not runs:
            raise ArtifactError(
                f"{path} is no run and holds none",
                hint=f"A run folder has a {MARK}; check the path",
            )
        found += runs
    return list(dict.fromkeys(found))


def listing(folders: Sequence[Path]) -> list[Listed]:
    """What each run is, newest first.

    Raises:
        ArtifactError: a run's headlines cannot be read; names the file.
    """
    found = []
    for folder in folders:
        complete = artifacts.is_sealed(folder)
        stamp = folder / (artifacts.MANIFEST if complete else MARK)
        changed = datetime.fromtimestamp(stamp.stat().st_mtime, UTC)
        found.append(Listed(folder, complete, changed, headlines.read(folder)))
    return sorted(found, key=lambda run: run.changed, reverse=True)


def page(runs: Sequence[Listed]) -> Page:
    """The list as a page, to sort and to filter."""
    unfinished = sum(not run.complete for run in runs)
    return Page(
        command="report",
        title=f"{len(runs)} runs",
        summary=f"{len(runs)} runs, {unfinished} of them not complete.",
        sections=[
            Section(
                title="Runs",
                text="The newest first. Each run says its first number, with its 95 % interval or "
                "why it has none.",
                table=Table(
                    columns=[Column(name=name) for name in COLUMNS],
                    rows=[list(row(run)) for run in runs],
                ),
            )
        ],
    )


def row(run: Listed) -> tuple[str | None, ...]:
    """The cells of one run; ``None`` where it has not said."""
    told = run.told
    return (
        str(run.folder),
        told.command if told else None,
        told.subject if told else None,
        "complete" if run.complete else "not complete",
        f"{run.changed:%Y-%m-%d %H:%M}",
        run.found,
    )
