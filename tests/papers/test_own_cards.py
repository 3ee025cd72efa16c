"""Cards of a user's own: TOML, arXiv's metadata, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parsimony.core.errors import DataError, InputError
from parsimony.papers import adding, arxiv, card, cards, catalogue, own

LORA = {
    "slug": "lora", "title": "LoRA: Low-Rank Adaptation of Large Language Models",
    "authors": ("Hu", "Shen"), "year": 2021, "arxiv": "2106.09685", "venue": "ICLR 2022",
    "areas": ("adapt",), "mechanism": "adapt: lora", "summary": "Trains two factors.",
    "official_code": ("microsoft/LoRA",), "licence": "MIT",
}  # fmt: skip
ATOM = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom">
  <entry>
    <id>http://arxiv.org/abs/2106.09685v2</id>
    <published>2021-06-17T17:37:18Z</published>
    <title>LoRA: Low-Rank Adaptation of
      Large Language Models</title>
    <author><name>Edward J. Hu</name></author>
    <author><name>Yelong Shen</name></author>
    <arxiv:journal_ref>ICLR 2022</arxiv:journal_ref>
  </entry>
</feed>
"""
DUMP = {
    "id": "2106.09685", "title": "LoRA: Low-Rank Adaptation of\n  Large Language Models",
    "authors_parsed": [["Hu", "Edward J.", ""], ["Shen", "Yelong", ""]], "journal-ref": "ICLR 2022",
    "versions": [{"version": "v1", "created": "Thu, 17 Jun 2021 17:37:18 GMT"}],
}  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(own.FOLDER, str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_a_card_goes_through_toml_unchanged(mine: Path) -> None:
    file = adding.add(LORA, mine, "given")
    assert file == mine / "lora.toml"
    read = card("lora")
    assert {name: getattr(read, name) for name in LORA} == LORA
    assert read.claims == () and len(cards()) == 37
    assert len(cards(catalogue.CARDS)) == 36


def test_what_is_not_known_is_left_out(mine: Path) -> None:
    known = {**LORA, "authors": None, "venue": None, "licence": None, "official_code": ()}
    file = adding.add(known, mine, "given")
    assert "authors" not in file.read_text() and "licence" not in file.read_text()
    assert card("lora").authors is None and card("lora").official_code == ()


def test_text_of_any_kind_survives(mine: Path) -> None:
    title = 'A "quoted" \\ title, <b>é</b> 🦆'
    adding.add({**LORA, "title": title}, mine, "given")
    assert card("lora").title == title


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"slug": "../evil"}, "a slug is lower-case words joined by hyphens, but got '../evil'"),
        ({"slug": "Lora"}, "a slug is lower-case words joined by hyphens"),
        ({"areas": ("adpat",)}, "my.toml: unknown area 'adpat'. Did you mean 'adapt'?"),
        ({"arxiv": "javascript:1"}, "arxiv is an identifier such as 2106.09685"),
        ({"official_code": ("a/b/../c",)}, "official_code is owner/name, but got 'a/b/../c'"),
        ({"title": "a\nb"}, "title must be one line of printable text"),
        ({"title": "\u202eevil"}, "title must be one line of printable text"),
        ({"summary": "a" * 401}, "summary has at most 400 characters, but got 401"),
        ({"year": "2021"}, "CARD has a bad year, but got '2021'"),
        ({"extra": 1}, "unknown key 'extra' in CARD"),
        ({"slug": "apet"}, "the catalogue has a paper of this slug, 'apet'"),
        ({"arxiv": "2306.02320"}, "the catalogue has a paper of this arxiv, 'apet'"),
    ],
)
def test_a_card_that_breaks_a_rule(mine: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        adding.add({**LORA, **changes}, mine, "my.toml")
    assert text in str(caught.value)
    assert not mine.exists()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"slug = ", "my.toml: a card must be TOML in UTF-8"),
        (b"\xff", "my.toml: a card must be TOML in UTF-8"),
        (b"#" * 70_000, "my.toml: a card has at most 64,000 bytes, but got 70000"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path: Path, source: bytes, text: str) -> None:
    (tmp_path / "my.toml").write_bytes(source)
    with pytest.raises(DataError) as caught:
        adding.read(tmp_path / "my.toml", {})
    assert str(caught.value).startswith(text)


def test_two_cards_of_one_name_are_refused(mine: Path) -> None:
    mine.mkdir()
    (mine / "apet.toml").write_text(own.dumps({**LORA, "slug": "apet"}))
    with pytest.raises(DataError, match="there is another card 'apet'"):
        cards()


def test_python_in_the_folder_of_own_cards_is_not_read(mine: Path) -> None:
    mine.mkdir()
    (mine / "evil.py").write_text("raise SystemExit")
    assert len(cards()) == 36


@pytest.mark.parametrize(("name", "text"), [("a.xml", ATOM), ("a.json", json.dumps(DUMP))])
def test_metadata_of_arxiv(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert arxiv.read(tmp_path / name) == {
        "title": "LoRA: Low-Rank Adaptation of Large Language Models",
        "authors": ("Edward J. Hu", "Yelong Shen"),
        "year": 2021, "arxiv": "2106.09685", "venue": "ICLR 2022",
    }  # fmt: skip
    given = {"areas": ("adapt",), "summary": "Trains two factors."}
    made = adding.read(tmp_path / name, given)
    assert (made["slug"], made["mechanism"]) == ("lora", "not built here")
    with pytest.raises(InputError, match=r"does not say the summary of a card\. Give it with"):
        adding.read(tmp_path / name, {"areas": ("adapt",)})


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]>' + ATOM.partition("\n")[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "XML with a document type or entities is refused"),
        (ATOM.replace("<feed", "<!doctype feed SYSTEM 'file:///etc/passwd'><feed"), "is refused"),
        (ATOM.replace("</feed>", ""), "metadata must be Atom or JSON of arXiv"),
        (ATOM.replace("entry>", "other>"), "metadata must be of one paper, but got 0"),
        (ATOM.replace("2021-06", "x"), "metadata needs the date of the first version"),
        (ATOM.replace("name>", "nom>"), "metadata needs a title, an identifier and authors"),
        ("{", "metadata must be Atom or JSON of arXiv"),
        ('{"title": 3}', "metadata must be texts"),
        ("{}", "metadata needs the date"),
        ("x" * 1_000_001, "metadata of one paper has at most 1,000,000 bytes"),
    ],
)
def test_metadata_that_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError) as caught:
        arxiv.read(tmp_path / "a.xml")
    assert says in str(caught.value) and str(caught.value).startswith("a.xml: ")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the file .*no\.toml must exist"):
        adding.read(tmp_path / "no.toml", {})
    (tmp_path / "a.py").write_text("")
    with pytest.raises(InputError, match="a paper is added from a card"):
        adding.read(tmp_path / "a.py", {})


def test_a_title_without_letters_gives_no_name() -> None:
    assert own.slug("Élan: a study") == "elan"
    with pytest.raises(InputError, match="the title gives no short name, but got '中文'"):
        own.slug("中文")
