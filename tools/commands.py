"""Write docs/commands.md: the help of every command, as ``--help`` prints it.

``tools/commands.py`` rewrites it; ``tools/commands.py --check`` fails when it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import generated
import typer
from typer.core import TyperCommand, TyperGroup

from parsimony.cli.main import build

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
WIDTH = 100
HEADER = """\
# Commands

What `--help` prints, command by command. `tools/commands.py` writes this page. The exit codes are
in [architecture.md](architecture.md#the-command-line).
"""


def helps(
    command: TyperCommand, name: str = "parsimony", parent: typer.Context | None = None
) -> Iterator[tuple[str, str]]:
    """(full name, help) of a command and of everything below it."""
    context = typer.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        help_option_names=["--help"],
    )
    yield context.command_path, command.get_help(context)
    for child, below in getattr(command, "commands", {}).items():
        if isinstance(command, TyperGroup):
            yield from helps(below, child, context)
        else:  # the arguments of the command itself are no part of the name
            yield from helps(below, f"{name} {child}", parent)


def render() -> str:
    """The whole page."""
    sections = [
        f"## {name}\n\n```text\n{text.rstrip()}\n```\n"
        for name, text in helps(typer.main.get_command(build()))
    ]
    return "\n".join([HEADER, *sections])


def main(arguments: list[str]) -> None:
    generated.write(PAGE, render(), "docs/commands.md", "commands.py", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
