"""What the generators of pages share: text between markers, and writing a page or checking it."""

from __future__ import annotations

import sys
from pathlib import Path


def between(page: Path, start: str, end: str, body: str) -> str:
    """The text of ``page`` with what stands between the markers replaced.

    Raises:
        SystemExit: the markers are missing.
    """
    before, opened, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        sys.exit(f"{page.name} needs the markers {start} and {end}")
    return f"{before}{start}\n{body}\n{end}{after}"


def write(page: Path, wanted: str, what: str, tool: str, arguments: list[str]) -> None:
    """Write ``page``, or with ``--check`` only say whether it is as wanted.

    Args:
        page: the file.
        wanted: its text.
        what: names it in messages.
        tool: name of the script that makes it.
        arguments: of the command line.

    Raises:
        SystemExit: it is stale, or other arguments.
    """
    if arguments == ["--check"]:
        if not page.is_file() or page.read_text(encoding="utf-8") != wanted:
            sys.exit(f"{what} is stale; run: .venv/bin/python tools/{tool}")
    elif arguments:
        sys.exit(f"usage: tools/{tool} [--check]")
    else:
        page.write_text(wanted, encoding="utf-8")
