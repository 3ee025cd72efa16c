"""The index of the browser's search, decoded again as the script does."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from parsimony.papers.site import content, search


def decode(index: dict) -> dict[str, list[tuple[int, int]]]:
    """Word -> (paper, mask), by the rules that the module states."""
    found = {}
    for word, text in zip(index["words"].split(), index["postings"].split(), strict=True):
        place, entries = -1, []
        for distance, letter in re.findall("([0-9a-z]*)([A-O])", text):
            place += int(distance, 36) if distance else 1
            entries.append((place, ord(letter) - 64))
        found[word] = entries
    return found


@pytest.fixture(scope="module")
def catalogue(world: SimpleNamespace) -> content.Catalogue:
    return content.read(world.cards, world.results)


def test_every_word_of_every_paper_is_found_where_it_stands(catalogue) -> None:
    index = search.index(catalogue, shown=80)
    decoded = decode(index)
    assert index["words"].split() == sorted(index["words"].split())
    for place, paper in enumerate(catalogue.papers):
        for bit, field in enumerate(search.FIELDS):
            for word in search.words(paper.searched()[field]):
                assert any(p == place and mask & 1 << bit for p, mask in decoded[word])
    assert sum(map(len, decoded.values())) == sum(
        len({w for text in p.searched().values() for w in search.words(text)})
        for p in catalogue.papers
    )


def test_distances_past_a_digit_are_written_and_read(write_card) -> None:
    paper = content.paper(write_card(), {})
    other = content.paper(write_card(title="Rare"), {})
    many = content.Catalogue((other, *[paper] * 1300, other))
    assert decode(search.index(many, 80))["rare"] == [(0, 1), (1301, 1)]


def test_words_are_without_case_and_accents() -> None:
    assert list(search.words("Björk's KRON-A, 2.5x")) == ["bjork", "s", "kron", "a", "2", "5x"]


def test_only_the_rows_that_the_page_lacks_are_data(catalogue) -> None:
    assert search.index(catalogue, 80)["rows"] == []
    rows = search.index(catalogue, 4)["rows"]
    assert [row[0] for row in rows] == ["old-word"]
    assert rows[0][6] == "stale" and rows[0][8] == ["stale", 1, 1]


def test_the_script_cannot_be_left(write_card) -> None:
    paper = content.paper(write_card(title="</script><script>alert(1)//\u2028"), {})
    text = search.script(content.Catalogue((paper,)), 0)
    assert "<" not in text and "\u2028" not in text
    data = json.loads(text.partition("INDEX = ")[2].rstrip(";\n"))
    assert data["rows"][0][1] == paper.card.title
