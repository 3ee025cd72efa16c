"""Tables for people, on stdout: coloured and cut to the window only where a person is looking."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

_COLOURS = {
    "green": "green",
    "red": "red",
    "stale": "yellow",
    "not yet": "dim",
    "recommended": "bold green",
    "worse": "dim",
}
_PIPE_WIDTH = 250  # wide enough for every title, so that nothing is cut


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    heading: bool = True,
    numbers: Collection[int] = (),
) -> None:
    """Print ``rows`` under ``columns``.

    Args:
        columns: names, one per cell of a row.
        rows: cells; one that is the name of a state gets its colour.
        title: a line above.
        heading: show title and names.
        numbers: positions of the columns that are aligned to the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    shown = Table(*columns, box=None, pad_edge=False, show_header=heading)
    free = console.width
    for number, (column, *cells) in enumerate(zip(shown.columns, columns, *rows, strict=True)):
        column.no_wrap, column.width = True, max(map(len, cells))
        column.justify = "right" if number in numbers else "left"
        free -= column.width + 2
    # A narrow window cuts the last column and leaves the others whole.
    shown.columns[-1].width = max(8, (shown.columns[-1].width or 0) + min(0, free + 2))
    for row in rows:
        shown.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    if title and heading:
        print(title)
    console.print(shown)
