"""The index of the search in the browser: an inverted one, small enough to load as a script.

Every word has a string of postings. A posting is the distance from the paper before, in base 36 and
left out when it is 1, and a capital letter: which fields hold the word, as a bit mask, A for the
title alone. The words are sorted, so that the page finds all that begin with what was typed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from parsimony.papers.claim import LEVELS
from parsimony.papers.site.content import Catalogue, Paper

FIELDS = ("title", "summary", "names", "claims")
_WORD = re.compile(r"[^\W_]+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LINE = str.maketrans({"<": r"\u003c", "\u2028": r"\u2028", "\u2029": r"\u2029"})


def words(text: str) -> Iterator[str]:
    """Its words in lower case, without accents; ``site.js`` does the same."""
    plain = unicodedata.normalize("NFKD", text.lower())
    return (found[0] for found in _WORD.finditer(re.sub(r"[\u0300-\u036f]", "", plain)))


def index(catalogue: Catalogue, shown: int) -> dict[str, Any]:
    """What the page searches, ready for JSON.

    Args:
        catalogue: the papers, by their place in it.
        shown: how many of the first the page itself has as rows; the others' rows are data here.
    """
    postings: dict[str, list[tuple[int, int]]] = {}
    for place, paper in enumerate(catalogue.papers):
        masks: dict[str, int] = {}
        for bit, field in enumerate(FIELDS):
            for word in words(paper.searched()[field]):
                masks[word] = masks.get(word, 0) | 1 << bit
        for word, mask in masks.items():
            postings.setdefault(word, []).append((place, mask))
    known = sorted(postings)
    return {
        "count": len(catalogue.papers),
        "words": " ".join(known),
        "postings": " ".join(_encode(postings[word]) for word in known),
        "rows": [row(paper) for paper in catalogue.papers[shown:]],
    }


def row(paper: Paper) -> list[Any]:
    """What ``site.js`` makes a row of the list from."""
    levels = [paper.levels[level] for level in LEVELS]
    return [
        paper.slug, paper.card.title, paper.card.summary, paper.date, paper.card.arxiv or "",
        " ".join(paper.card.areas), paper.standing.state, paper.last_run or "",
        *([s.state, s.passed, s.claims] for s in levels),
    ]  # fmt: skip


def script(catalogue: Catalogue, shown: int) -> str:
    """The index as a script, which a page from the file system can load and JSON it cannot."""
    data = json.dumps(index(catalogue, shown), ensure_ascii=False, separators=(",", ":"))
    return f'"use strict";\nconst INDEX = {data.translate(_LINE)};\n'


def _encode(found: list[tuple[int, int]]) -> str:
    text, before = "", -1
    for place, mask in found:
        distance, before = place - before, place
        text += ("" if distance == 1 else _base36(distance)) + chr(ord("A") + mask - 1)
    return text


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
