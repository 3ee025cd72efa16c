"""A command with others below it: who gets which words."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
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


def test_a_package_of_verbs_may_hold_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """``outer`` only holds; ``outer middle`` does something itself and has ``below`` below it."""
    main = importlib.import_module("parsimony.cli.main")
    modules = {
        name: ModuleType(name, says)
        for name, says in {
            "parsimony.cli.outer": "Outer: holds others.",
            "parsimony.cli.outer.middle": "",
            "parsimony.cli.outer.middle.middle": "",
            "parsimony.cli.outer.middle.below_it": "",
            "parsimony.cli.outer.plain": "",
        }.items()
    }
    ran: list[str] = []
    for name, module in modules.items():
        if name.count(".") > 2 and name != "parsimony.cli.outer.middle":
            module.command = lambda name=name: ran.append(name.rpartition(".")[2])  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    holds = {"outer": ["middle", "plain"], "middle": ["middle", "below_it"]}
    own = {"parsimony.cli.outer": "outer", "parsimony.cli.outer.middle": "middle"}
    monkeypatch.setattr(main, "_inside", lambda m: holds.get(own.get(m.__name__, ""), []))
    monkeypatch.setattr(main, "verbs", lambda: ["outer"])
    app = main.build()
    for words in ("outer middle", "outer middle below-it", "outer plain"):
        app(words.split(), standalone_mode=False)
    assert ran == ["middle", "below_it", "plain"]
