"""Tables for people, on stdout; first and last column to the left, the numbers to the right."""

from __future__ import annotations


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print ``rows`` under ``columns``."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if 0 < number < len(columns) - 1 else "left")
    for row in rows:
        shown.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)  # nobody folds a pipe
    console.print(shown)
