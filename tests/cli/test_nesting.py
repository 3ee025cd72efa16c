"""A command with others below it: who gets which words."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer

from parsimony.cli import options
from parsimony.cli.nesting import nest


@pytest.fixture
def app() -> typer.Typer:
    def methods(what: str = "all") -> None:
        """Name the methods."""
        print(f"methods {what}")

    found = typer.Typer(add_completion=False, rich_markup_mode=None)
    found.callback()(lambda: None)

    @found.command("adapt", cls=nest({"methods": methods}))
    def run(
        model: Annotated[str, typer.Argument(help="Model.")] = "minilm",
        data: Annotated[str, typer.Argument(help="Data.")] = "docs",
        quiet: options.Quiet = False,
    ) -> None:
        """Train."""
        print(f"adapt {model} {data} {quiet}")

    return found


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("adapt", "adapt minilm docs False"),
        ("adapt a b", "adapt a b False"),
        ("adapt a --quiet b", "adapt a b True"),
        ("adapt ./methods", "adapt ./methods docs False"),
        ("adapt a methods", "adapt a methods False"),
        ("adapt methods", "methods all"),
        ("adapt methods --what some", "methods some"),
    ],
)
def test_the_first_word_decides(
    words: str, printed: str, app: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    app(words.split(), standalone_mode=False)
    assert capsys.readouterr().out == printed + "\n"


def test_the_help_shows_the_options_and_the_commands_below(
    app: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    app(["adapt", "--help"], prog_name="p", standalone_mode=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Usage: p adapt [OPTIONS] [model] [data] Train.")
    assert "--quiet" in shown and shown.endswith("Commands: methods Name the methods.")
    app(["adapt", "methods", "--help"], prog_name="p", standalone_mode=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Usage: p adapt methods [OPTIONS] Name the methods.")
