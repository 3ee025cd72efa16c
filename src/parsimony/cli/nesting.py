"""A command that does something by itself and has others below it, as ``parsimony adapt`` does."""

from __future__ import annotations

from typing import Any, ClassVar

import typer
from typer.core import TyperCommand


class Nest(TyperCommand):
    """Hands over to the command below that its first word names, and else runs by itself.

    A word that is meant for the command itself and spelt like one below is written otherwise: a
    folder ``methods`` is ``./methods``.
    """

    commands: ClassVar[dict[str, TyperCommand]] = {}

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """The context of whichever command the arguments are for; the caller invokes that one."""
        if args and args[0] in self.commands:
            below = f"{info_name} {args[0]}"
            return self.commands[args[0]].make_context(below, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The command's own options, then the commands below."""
        super().format_options(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.get_short_help_str(60)) for n, c in self.commands.items()])


def nest(below: dict[str, Any]) -> type[TyperCommand]:
    """The ``cls`` of a command that has the functions ``below``, by name, as commands below it."""
    if not below:
        return TyperCommand
    commands = {}
    for name, function in below.items():
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(function)
        commands[name] = typer.main.get_command(app)
    return type("Nest", (Nest,), {"commands": commands})
