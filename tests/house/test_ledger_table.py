"""The ledger in README.md is the one that the kept runs give."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def tool(root: Path) -> ModuleType:
    """The generator, as a module."""
    spec = importlib.util.spec_from_file_location("ledger_table", root / "tools/ledger_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ledger_is_current(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "tools/ledger_table.py", "--check"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_stale_ledger_is_seen_and_written_anew(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{tool.START}\nstale\n{tool.END}\nafter\n")
    monkeypatch.setattr(tool, "README", page)
    with pytest.raises(SystemExit, match=r"the ledger in README\.md is stale; run: "):
        tool.main(["--check"])
    tool.main([])
    tool.main(["--check"])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text
    page.write_text("no markers")
    with pytest.raises(SystemExit, match=r"README\.md needs the markers"):
        tool.main([])
