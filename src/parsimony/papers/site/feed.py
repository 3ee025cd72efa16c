"""The Atom feed (RFC 4287): one entry per paper, newest result first."""

from __future__ import annotations

import re
import uuid
from xml.etree import ElementTree as ET

from parsimony.papers.site.content import Catalogue, Paper

_ATOM = "http://www.w3.org/2005/Atom"
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTRIES = 100
TITLE = "parsimony: papers that run"


def atom(catalogue: Catalogue, base: str | None = None) -> str:
    """The feed as text.

    Args:
        catalogue: the papers.
        base: address of the site, which ends in a slash; without one the links are relative.
    """
    ET.register_namespace("", _ATOM)
    feed = ET.Element(_name("feed"), {_BASE: base} if base else {})
    _add(feed, "id", _identifier("feed"))
    _add(feed, "title", TITLE)
    _add(feed, "subtitle", "What each paper promised, and what running it found.")
    papers = sorted(catalogue.papers, key=lambda p: (_updated(p), p.order), reverse=True)
    _add(feed, "updated", _updated(papers[0]) if papers else "1970-01-01T00:00:00Z")
    _add(_add(feed, "author"), "name", "parsimony")
    _add(feed, "generator", "parsimony")
    _add(feed, "link", rel="self", type="application/atom+xml", href=f"{base or ''}feed.xml")
    _add(feed, "link", rel="alternate", type="text/html", href=f"{base or ''}index.html")
    for paper in papers[:_ENTRIES]:
        _entry(feed, paper, base or "")
    ET.indent(feed)
    return ET.tostring(feed, "unicode", xml_declaration=True) + "\n"


def _entry(feed: ET.Element, paper: Paper, base: str) -> None:
    entry = _add(feed, "entry")
    page = f"papers/{paper.slug}"
    _add(entry, "id", _identifier(paper.slug))
    _add(entry, "title", paper.card.title)
    _add(entry, "updated", _updated(paper))
    _add(entry, "published", _published(paper))
    _add(_add(entry, "author"), "name", ", ".join(paper.card.authors or ("not known",)))
    _add(entry, "link", rel="alternate", type="text/html", href=f"{base}{page}.html")
    _add(entry, "link", rel="alternate", type="application/json", href=f"{base}{page}.json")
    for name, address in paper.links:
        _add(entry, "link", rel="related", title=name, href=address)
    for area in paper.card.areas:
        _add(entry, "category", term=area)
    _add(entry, "summary", f"{paper.card.summary} {stands(paper)}", type="text")


def stands(paper: Paper) -> str:
    """Where a paper stands, in a sentence."""
    standing = paper.standing
    if not standing.run:
        return "Not yet run."
    return (
        f"{standing.state.capitalize()}: {standing.passed} of {standing.run} claims that were run "
        "hold."
    )


def _updated(paper: Paper) -> str:
    return paper.last_run.replace("+00:00", "Z") if paper.last_run else _published(paper)


def _published(paper: Paper) -> str:
    year, _, month = paper.date.partition("-")
    return f"{year}-{month or '01'}-01T00:00:00Z"


def _identifier(name: str) -> str:
    """The same whatever the site's address is."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"parsimony-ml:papers/{name}").urn


def _name(tag: str) -> str:
    return f"{{{_ATOM}}}{tag}"


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    clean = {key: _NOT_XML.sub("", value) for key, value in attributes.items()}
    child = ET.SubElement(parent, _name(tag), clean)
    child.text = _NOT_XML.sub("", text) or None
    return child
