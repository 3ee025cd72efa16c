"""Reads the metadata of one paper as arXiv gives it: Atom of its API, or a line of its JSON dump.

Nothing is fetched. The Atom file is what ``export.arxiv.org/api/query?id_list=...`` answers; the
JSON object is of the form of the public metadata snapshot. XML that declares a document type or
entities is refused before it is parsed: a few declared entities can expand to gigabytes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from parsimony.core.errors import DataError

_ATOM = "{http://www.w3.org/2005/Atom}"
_OWN = "{http://arxiv.org/schemas/atom}"
_LARGEST = 1_000_000  # bytes


def read(file: Path) -> dict[str, Any]:
    """``title``, ``authors``, ``year``, ``arxiv`` and ``venue`` of the paper in ``file``.

    Raises:
        DataError: larger than a megabyte, not of these two forms, or not of exactly one paper.
    """
    source = file.read_bytes()
    if len(source) > _LARGEST:
        raise DataError(
            f"metadata of one paper has at most {_LARGEST:,} bytes", file=file.name,
            got=len(source),
        )  # fmt: skip
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"metadata must be UTF-8 ({error})", file=file.name) from None
    found = _json(text, file.name) if text.lstrip().startswith("{") else _atom(text, file.name)
    if not found["title"] or not found["arxiv"] or not found["authors"]:
        raise DataError("metadata needs a title, an identifier and authors", file=file.name)
    return found


def _atom(text: str, file: str) -> dict[str, Any]:
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise DataError("XML with a document type or entities is refused", file=file)
    try:
        root = ET.fromstring(text)  # noqa: S314 (what expands was refused above)
    except ET.ParseError as error:
        raise DataError(f"metadata must be Atom or JSON of arXiv ({error})", file=file) from None
    entries = [root] if root.tag == f"{_ATOM}entry" else root.findall(f"{_ATOM}entry")
    if len(entries) != 1:
        raise DataError("metadata must be of one paper", file=file, got=len(entries))
    entry = entries[0]
    names = entry.findall(f"{_ATOM}author/{_ATOM}name")
    return _fields(
        file,
        entry.findtext(f"{_ATOM}title"),
        [name.text for name in names],
        entry.findtext(f"{_ATOM}id"),
        entry.findtext(f"{_ATOM}published"),
        entry.findtext(f"{_OWN}journal_ref"),
    )


def _json(text: str, file: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
        first = data["versions"][0]["created"] if data.get("versions") else None
        authors = data.get("authors_parsed") or []
        names = [f"{a[1]} {a[0]}" for a in authors] or [data.get("authors")]
        return _fields(
            file, data.get("title"), names, data.get("id"), first, data.get("journal-ref")
        )
    except (json.JSONDecodeError, LookupError, TypeError) as error:
        raise DataError(f"metadata must be Atom or JSON of arXiv ({error})", file=file) from None


def _fields(
    file: str, title: str | None, authors: list[str | None], identifier: str | None,
    first: str | None, venue: str | None,
) -> dict[str, Any]:  # fmt: skip
    texts = [title, identifier, first, venue, *authors]
    if not all(isinstance(text, str | None) for text in texts):
        raise DataError("metadata must be texts", file=file)
    number = re.sub(r"^https?://arxiv\.org/abs/|v\d+$", "", _plain(identifier))
    year = re.search(r"\b(19|20)\d\d\b", _plain(first))
    if year is None:
        raise DataError("metadata needs the date of the first version", file=file, got=first)
    return {
        "title": _plain(title),
        "authors": tuple(filter(None, map(_plain, authors))),
        "year": int(year[0]),
        "arxiv": number,
        "venue": _plain(venue) or None,
    }


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())
