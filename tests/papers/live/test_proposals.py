"""Proposals: held, accepted into a card, rejected."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_parts import NOW

from parsimony.core.errors import InputError
from parsimony.papers import card
from parsimony.papers.live import proposals
from parsimony.papers.live.database import Database

GIVEN = {"areas": ("adapt",), "summary": "Trains two factors."}
pytestmark = pytest.mark.usefixtures("papers")


@pytest.mark.parametrize(
    "link",
    ["2106.09685", "arxiv.org/abs/2106.09685v2", "https://arxiv.org/pdf/2106.09685"],
)
def test_a_preprint_is_proposed_once(database: Database, link: str) -> None:
    assert proposals.propose(database, "LoRA:  low\nrank", link, "", NOW)
    assert not proposals.propose(database, "Another", "2106.09685", "", NOW)
    [held] = proposals.listed(database)
    assert (held.title, held.link) == ("LoRA: low rank", "https://arxiv.org/abs/2106.09685")


def test_accepting_writes_a_card(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposals.propose(database, "LoRA: low rank", "2106.09685", "why", NOW)
    with pytest.raises(InputError, match=r"the summary of a card\. Give it with --summary"):
        proposals.accept(database, 1, tmp_path / "mine", {"areas": ("adapt",)})
    file = proposals.accept(database, 1, tmp_path / "mine", GIVEN)
    monkeypatch.setenv("PARSIMONY_CARDS", str(tmp_path / "mine"))
    assert (card("lora").year, card("lora").arxiv) == (2021, "2106.09685")
    assert "why" not in file.read_text()
    assert proposals.listed(database) == []
    with pytest.raises(InputError, match="no proposal of this number is held, but got 1"):
        proposals.accept(database, 1, tmp_path / "mine", GIVEN)


def test_a_link_without_a_year_needs_one(database: Database, tmp_path: Path) -> None:
    proposals.propose(database, "A paper", "https://example.org/paper.pdf", "", NOW)
    with pytest.raises(InputError, match=r"does not tell the year.*Give it with --year"):
        proposals.accept(database, 1, tmp_path, GIVEN)
    assert proposals.accept(database, 1, tmp_path, {**GIVEN, "year": 2020}).stem == "a-paper"


def test_a_rejected_one_stays_away(database: Database) -> None:
    proposals.propose(database, "A paper", "2106.09685", "", NOW)
    proposals.reject(database, 1)
    assert proposals.listed(database) == []
    assert not proposals.propose(database, "A paper", "2106.09685", "", NOW)


def test_only_so_many_are_held(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "MOST_HELD", 2)
    for number in range(2):
        proposals.propose(database, "A paper", f"2106.0968{number}", "", NOW)
    with pytest.raises(proposals.FullError):
        proposals.propose(database, "A paper", "2106.09685", "", NOW)
