"""The pages say what is: commands parse, links resolve."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.core import TyperCommand

PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")


def shown(text: str) -> list[list[str]]:
    """The commands in the ``console`` blocks of a page, split into words."""
    lines = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        lines += block.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [w for w in words if w]


def check(words: list[str], commands: dict[str, TyperCommand], targets: set[str]) -> str:
    """Why a shown command would not run, or an empty string."""
    program, *arguments = words
    if program == "make":
        unknown = [a for a in arguments if a not in targets]
        return f"make has no target {unknown[0]}" if unknown else ""
    if program != "parsimony" or arguments == ["--help"]:
        return ""
    for length in (3, 2, 1):
        command = commands.get(" ".join(arguments[:length]))
        if command is not None:
            context = typer.Context(command)
            try:
                _, left, _ = command.make_parser(context).parse_args(arguments[length:])
            except typer.TyperException as error:
                return error.format_message()
            return f"{words}: {left} is too much" if left else ""
    return f"there is no command {' '.join(words)}"


def make_targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_shown_commands_parse(root: Path, commands: dict[str, TyperCommand], page: str) -> None:
    targets = make_targets(root)
    found = [check(w, commands, targets) for w in shown((root / page).read_text(encoding="utf-8"))]
    assert not any(found), "\n".join(filter(None, found))


def test_the_readme_shows_the_two_commands(root: Path) -> None:
    words = shown((root / "README.md").read_text(encoding="utf-8"))
    assert {"adapt", "predict"} <= {w[1] for w in words if w[0] == "parsimony"}


def test_the_check_sees_a_wrong_command() -> None:
    app = typer.Typer()

    @app.command("list")
    def list_(json: Annotated[bool, typer.Option("--json")] = False) -> None: ...

    leaf = typer.main.get_command(app)
    known, targets = {"papers list": leaf}, {"test"}
    assert check(["make", "tests"], known, targets) == "make has no target tests"
    assert check(["parsimony", "fly"], known, targets) == "there is no command parsimony fly"
    assert "--fast" in check(["parsimony", "papers", "list", "--fast"], known, targets)
    assert "too much" in check(["parsimony", "papers", "list", "all"], known, targets)
    for good in (["make", "test"], ["parsimony", "papers", "list", "--json"], ["ls", "-l"]):
        assert check(good, known, targets) == ""


def test_commands_are_found_in_a_page() -> None:
    text = "```console\n$ make test  # all\nparsimony a \\\n  'b c'\n```\n```\nmake no\n```"
    assert shown(text) == [["make", "test"], ["parsimony", "a", "b c"]]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_resolve(root: Path, page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (root / page).read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [x for x in local if not ((root / page).parent / x).exists()] == []
