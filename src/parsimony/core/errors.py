"""One exception tree; its leaves decide the exit code of the command line.

ParsimonyError                  exit 1   our fault, or not classified
├── InputError                  exit 2   the input's fault: rule, value, next step
│   ├── DataError               ...      bad data: names file, row and column
│   ├── ArtifactError           ...      a file of ours is missing, changed or incomplete
│   ├── MeterError              ...      an energy meter that cannot be read, or not be trusted
│   └── MissingExtraError       ...      an optional package is not installed
├── BudgetError                 exit 3   the budget cannot be met; carries the nearest that can
└── InterruptedRun              exit 130 stopped by the user; carries the command that resumes
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Self

_UNSET = object()


class ParsimonyError(Exception):
    """Base of every error raised on purpose.

    Args:
        rule: what must hold, as one sentence without a full stop.
        got: the offending value, shown with ``repr``; left out when not given.
        hint: the next step for the reader.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, rule: str, *, got: object = _UNSET, hint: str = "") -> None:
        self.rule = rule
        self.hint = hint
        text = rule if got is _UNSET else f"{rule}, but got {got!r}"
        super().__init__(" ".join(f"{text}. {hint}".split()) if hint else " ".join(text.split()))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """An error whose message was built elsewhere, such as in a worker process."""
        error = cls.__new__(cls)
        Exception.__init__(error, text)
        error.rule, error.hint = text, ""
        return error


class InputError(ParsimonyError):
    """What the user gave breaks a rule."""

    exit_code = 2


class DataError(InputError):
    """Bad data, located.

    Args:
        rule: what must hold.
        file: the file or data-set name.
        row: 1-based data row (the header of a table is not a row); ``None`` for the whole file.
        column: column name.
        got: the offending value.
        hint: the next step.
    """

    def __init__(
        self,
        rule: str,
        *,
        file: str | Path,
        row: int | None = None,
        column: str | None = None,
        got: object = _UNSET,
        hint: str = "",
    ) -> None:
        place = str(file)
        if row is not None:
            place += f", row {row}"
        if column is not None:
            place += f", column '{column}'"
        self.file, self.row, self.column = str(file), row, column
        super().__init__(f"{place}: {rule}", got=got, hint=hint)


class ArtifactError(InputError):
    """A file parsimony wrote is missing, incomplete or not what its manifest says."""


class MeterError(InputError):
    """An energy meter cannot be read here, or what it read cannot be trusted."""


class MissingExtraError(InputError):
    """An optional package is needed and not installed."""


class BudgetError(ParsimonyError):
    """No option fits the budget.

    Args:
        nearest: the closest budget that can be met, as ``Budget.parse`` reads it.
    """

    exit_code = 3

    def __init__(self, rule: str, *, nearest: str, got: object = _UNSET) -> None:
        self.nearest = nearest
        super().__init__(rule, got=got, hint=f'The nearest budget that can be met: "{nearest}"')


class InterruptedRun(ParsimonyError):  # noqa: N818 (no fault)
    """The user stopped the run.

    Args:
        resume: the command that continues it.
    """

    exit_code = 130

    def __init__(self, resume: str) -> None:
        self.resume = resume
        super().__init__("interrupted", hint=f"Continue with: {resume}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the known string closest to ``name``, then all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    original = next((n for n in names if close and n.lower() == close[0]), None)
    listing = ", ".join(names) if names else "none"
    return f"Did you mean '{original}'? Known: {listing}" if original else f"Known: {listing}"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional ``module`` or say which extra of parsimony-ml brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"this needs the package '{error.name}'",
            hint=f"Install it with: pip install 'parsimony-ml[{extra}]'",
        ) from error
