"""Every command keeps the conventions of the command line."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.core import TyperCommand, TyperOption

SHARED = ("--json", "--quiet")


def problems(path: str, command: TyperCommand) -> list[str]:
    """What one command lacks: a shared option, a help text, its own description."""
    options = [p for p in command.params if isinstance(p, TyperOption)]
    names = {name for option in options for name in option.opts}
    found = [f"{path} has no {name}" for name in SHARED if name not in names]
    found += [f"{path} {option.opts[0]} has no help" for option in options if not option.help]
    return found if command.help else [*found, f"{path} does not say what it does"]


def test_every_command_keeps_the_conventions(commands: dict[str, TyperCommand]) -> None:
    assert commands
    found = [problem for path, command in commands.items() for problem in problems(path, command)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_a_shared_option_is_a_flag(commands: dict[str, TyperCommand], option: str) -> None:
    for path, command in commands.items():
        for parameter in command.params:
            if option in parameter.opts:
                assert isinstance(parameter, TyperOption) and parameter.is_flag, path


def test_the_check_sees_what_is_missing() -> None:
    app = typer.Typer()

    @app.command()
    def bare(rank: Annotated[int, typer.Option("--rank")] = 4) -> None: ...

    assert problems("bare", typer.main.get_command(app)) == [
        "bare has no --json",
        "bare has no --quiet",
        "bare --rank has no help",
        "bare does not say what it does",
    ]
