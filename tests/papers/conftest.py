"""A folder of cards made for one test."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsimony.papers.catalogue import Card, read

FIELDS = {
    "slug": "some-paper",
    "title": "Some Paper",
    "authors": ("A. Author",),
    "year": 2024,
    "arxiv": None,
    "venue": None,
    "areas": ("adapt",),
    "mechanism": "adapt/some",
    "summary": "Does one thing for a user.",
    "official_code": (),
    "licence": None,
}

CLAIM = """
from parsimony.papers.claim import Measurement, claim


@claim(name="{name}", statement="It is three.", published=3, source="paper", unit="things",
       direction="equal", level="{level}")
def {function}() -> Measurement:
    {body}
"""


class CardMaker:
    """Writes ``some_paper.py`` into a folder of one test."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "some_paper.py"

    def __call__(self, *claims: str, **changes: object) -> Card:
        """A card with these claims and changed fields, as the catalogue reads it."""
        self.file.write_text(f"CARD = {FIELDS | changes!r}\n" + "".join(claims))
        return read(self.file)

    @staticmethod
    def claim(
        body: str = "return Measurement(3)", name: str = "three", level: str = "exact"
    ) -> str:
        """The source of one claim whose function has ``body``; three things are promised."""
        function = name.replace("-", "_")
        return CLAIM.format(name=name, level=level, function=function, body=body)


@pytest.fixture
def write_card(tmp_path: Path) -> CardMaker:
    (tmp_path / "cards").mkdir()
    return CardMaker(tmp_path / "cards")
