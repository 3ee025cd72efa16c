"""A database, a clock that is set by hand, and a mail server that keeps what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from live_parts import Clock, Sink, card

from parsimony.papers import catalogue, record
from parsimony.papers.live.database import Database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(str(tmp_path / "papers.db"))
    yield opened
    opened.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of three papers, without results; its folder of cards."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    for slug in ("few-bits", "low-rank", "wide-nets"):
        (folder / f"{slug}.toml").write_text(card(slug))
    monkeypatch.setattr(catalogue, "CARDS", folder)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PARSIMONY_CARDS", raising=False)
    return folder
