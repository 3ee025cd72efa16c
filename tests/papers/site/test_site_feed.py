"""The feed is Atom: what RFC 4287 asks of one is there, and hostile text stays text."""

from __future__ import annotations

import re
from datetime import datetime
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from parsimony.papers.site import content, feed

ATOM = {"a": "http://www.w3.org/2005/Atom"}


@pytest.fixture(scope="module")
def catalogue(world: SimpleNamespace) -> content.Catalogue:
    return content.read(world.cards, world.results)


def test_what_every_feed_and_entry_needs(catalogue) -> None:
    root = ET.fromstring(feed.atom(catalogue))
    assert root.tag == "{http://www.w3.org/2005/Atom}feed"
    entries = root.findall("a:entry", ATOM)
    assert len(entries) == len(catalogue.papers)
    for element in (root, *entries):
        for name in ("id", "title", "updated"):
            [found] = element.findall(f"a:{name}", ATOM)
            assert found.text
        assert element.findtext("a:id", namespaces=ATOM).startswith("urn:uuid:")
        stamp = element.findtext("a:updated", namespaces=ATOM)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
        assert element.find("a:author/a:name", ATOM).text
    assert len({e.findtext("a:id", namespaces=ATOM) for e in entries}) == len(entries)
    stamps = [datetime.fromisoformat(e.findtext("a:updated", namespaces=ATOM)) for e in entries]
    assert stamps == sorted(stamps, reverse=True)
    assert datetime.fromisoformat(root.findtext("a:updated", namespaces=ATOM)) == stamps[0]


def test_an_entry_says_where_the_paper_stands(catalogue) -> None:
    root = ET.fromstring(feed.atom(catalogue))
    said = {e.find("a:link", ATOM).get("href"): e.findtext("a:summary", namespaces=ATOM)
            for e in root.findall("a:entry", ATOM)}  # fmt: skip
    assert said["papers/kept-word.html"] == (
        "Keeps zebras in order. Green: 1 of 1 claims that were run hold."
    )
    assert said["papers/no-word.html"] == "Waits. Not yet run."


def test_with_an_address_the_links_are_whole_and_the_identifiers_the_same(catalogue) -> None:
    here, there = (feed.atom(catalogue, base) for base in (None, "https://example.org/p/"))
    root = ET.fromstring(there)
    assert root.find("a:link[@rel='self']", ATOM).get("href") == "https://example.org/p/feed.xml"
    assert re.findall("urn:uuid:[^<]*", here) == re.findall("urn:uuid:[^<]*", there)


def test_signs_that_xml_forbids_are_left_out(write_card) -> None:
    paper = content.paper(write_card(title="Bell \x07 and <b> & \ud800"), {})
    root = ET.fromstring(feed.atom(content.Catalogue((paper,))).encode())
    assert root.findtext("a:entry/a:title", namespaces=ATOM) == "Bell  and <b> & "


def test_an_empty_catalogue_has_a_feed() -> None:
    root = ET.fromstring(feed.atom(content.Catalogue(())))
    assert root.findtext("a:updated", namespaces=ATOM) == "1970-01-01T00:00:00Z"
