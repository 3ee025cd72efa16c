"""What a person sees while work goes on. Everything here goes to stderr; stdout is for results.

A bar when a person is looking, one line per phase when not, nothing when quiet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Console:
    """One per command.

    Args:
        quiet: show nothing but errors.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.interactive = sys.stderr.isatty() and not quiet

    def say(self, text: str) -> None:
        """One line of plain text."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def phase(self, title: str, total: int) -> Iterator[Phase]:
        """A piece of work of ``total`` units; call ``advance`` on what this yields."""
        if not self.interactive:
            self.say(title)
            yield Phase(None, total)
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
            phase = Phase(progress, total)
            phase.task = progress.add_task(title, total=total)
            yield phase
        self.say(title)


class Phase:
    """Progress of one phase."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self.total = total
        self.task: object = None

    def advance(self, amount: float = 1) -> None:
        if self._progress is not None:
            self._progress.advance(self.task, amount)  # type: ignore[arg-type]
