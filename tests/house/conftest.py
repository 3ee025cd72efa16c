"""What the tests of the house look at: the sources, parsed once, and the commands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from parsimony.cli.main import build

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[str, ast.Module]:
    """Dotted module name -> syntax tree, for every module of the package."""
    found = {}
    for path in sorted((SOURCE / "parsimony").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@pytest.fixture(scope="session")
def commands() -> dict[str, TyperCommand]:
    """``"papers list"`` -> its command, for every command that does something."""
    return dict(walk(typer.main.get_command(build())))


def walk(command: TyperCommand, path: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Walk the command tree and yield all but the groups, which only hold others."""
    if not isinstance(command, TyperGroup):
        yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, f"{path} {name}".strip())
