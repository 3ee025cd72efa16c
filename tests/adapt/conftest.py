"""One uninterrupted run, shared by all tests that compare with it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import small_run


@dataclass(frozen=True)
class Finished:
    """A completed run and what it was made from."""

    folder: Path
    model: Path
    table: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The reference: two workers, never stopped."""
    home = tmp_path_factory.mktemp("adapt")
    model, table = small_run.prepare(home)
    done = small_run.call(small_run.command(model, table, home / "run", "--workers", "2"))
    return Finished(home / "run", model, table, done.stdout, done.stderr)
