"""What is generated in the pages is current; where it is stale that is seen, and mended."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import commands as commands_tool
import ledger_table
import pytest
import readme_tree
from typer.core import TyperCommand

TOOLS = {"readme_tree": "tree in", "ledger_table": "ledger in", "commands": "docs/commands.md"}


@pytest.mark.parametrize("name", TOOLS)
def test_it_is_current(root: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"tools/{name}.py", "--check"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tool", [readme_tree, ledger_table])
def test_what_is_stale_is_seen_and_written_anew(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{tool.START}\na stale line\n{tool.END}\nafter\n")
    monkeypatch.setattr(tool, "README", page)
    said = rf"the {TOOLS[tool.__name__]} README\.md is stale; run: \S+ tools/{tool.__name__}\.py"
    with pytest.raises(SystemExit, match=said):
        tool.main(["--check"])
    tool.main([])
    tool.main(["--check"])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "a stale line" not in text
    if tool is readme_tree:
        assert re.search(r"^    budget\.py +# What may be spent", text, re.MULTILINE)
    page.write_text("no markers")
    with pytest.raises(SystemExit, match=rf"README\.md needs the markers {tool.START}"):
        tool.main([])


def test_the_page_of_commands_names_all(commands: dict[str, TyperCommand]) -> None:
    page = commands_tool.PAGE.read_text(encoding="utf-8")
    assert {f"## parsimony {name}" for name in commands} <= set(page.splitlines())


def test_a_stale_page_of_commands_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_tool, "PAGE", tmp_path / "commands.md")
    for content in (None, "# Commands\n"):
        if content is not None:
            commands_tool.PAGE.write_text(content)
        with pytest.raises(SystemExit, match=r"docs/commands\.md is stale; run: "):
            commands_tool.main(["--check"])
    commands_tool.main([])
    commands_tool.main(["--check"])


@pytest.mark.parametrize("tool", [readme_tree, ledger_table, commands_tool])
def test_another_argument_is_refused(tool: ModuleType) -> None:
    with pytest.raises(SystemExit, match="usage: "):
        tool.main(["--chek"])
