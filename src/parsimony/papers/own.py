"""Cards of a user's own: TOML files in a folder, with the metadata of a card and no claims.

The folder is the one that the environment variable PARSIMONY_CARDS names. The keys are those of
``CARD``; those that may be unknown are left out, since TOML has no null. A card with claims is
Python and part of the package: claims run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parsimony.core import artifacts
from parsimony.core.errors import DataError, InputError, nearest

FOLDER = "PARSIMONY_CARDS"
_LARGEST = 64_000  # bytes of a card
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")
_LONGEST = {"slug": 80, "title": 300, "summary": 400, "mechanism": 200, "venue": 200}
_ORDER = (
    "slug", "title", "authors", "year", "arxiv", "venue", "areas", "mechanism", "summary",
    "official_code", "licence",
)  # fmt: skip
_MAY_LACK: dict[str, object] = {
    "authors": None, "arxiv": None, "venue": None, "licence": None, "official_code": (),
}  # fmt: skip


def folder() -> Path | None:
    """Where the user's cards are; ``None`` when PARSIMONY_CARDS is not set."""
    named = os.environ.get(FOLDER)
    return Path(named).expanduser() if named else None


def fields(file: Path) -> tuple[dict[str, Any], str]:
    """The fields of a TOML card as a ``CARD`` would have them, and its fingerprint.

    Raises:
        DataError: not TOML, or too large.
    """
    source = file.read_bytes()
    if len(source) > _LARGEST:
        raise DataError(f"a card has at most {_LARGEST:,} bytes", file=file.name, got=len(source))
    try:
        found = tomllib.loads(source.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"a card must be TOML in UTF-8 ({error})", file=file.name) from None
    read = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return {**_MAY_LACK, **read}, hashlib.sha256(source).hexdigest()


def _check_text(name: str, text: str, file: str) -> None:
    """One line of printable text, of a length that a page can show."""
    most = _LONGEST.get(name, 200)
    if len(text) > most:
        raise DataError(f"{name} has at most {most} characters", file=file, got=len(text))
    if any(unicodedata.category(sign).startswith("C") for sign in text):
        raise DataError(f"{name} must be one line of printable text", file=file, got=text[:60])


ARXIV = re.compile(r"(?P<year>\d\d)(0[1-9]|1[0-2])\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}")
"""An identifier without its version, of the present form or of that before 2007."""


def check_slug(slug: object, file: str) -> None:
    """A slug is part of addresses and of a file's name.

    Raises:
        DataError: it cannot be.
    """
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise DataError("a slug is lower-case words joined by hyphens", file=file, got=slug)


def check(card: Mapping[str, Any], known_areas: set[str], file: str) -> None:
    """What a card must keep besides the rules of every card, to become part of pages.

    Raises:
        DataError: text that no page can show, an area nobody knows, a preprint or a repository
            that cannot be linked to.
    """
    for name, value in card.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                _check_text(name, text, file)
    for area in card["areas"]:
        if area not in known_areas:
            raise DataError(f"unknown area '{area}'", file=file, hint=nearest(area, known_areas))
    if card["arxiv"] is not None and not ARXIV.fullmatch(card["arxiv"]):
        raise DataError("arxiv is an identifier such as 2106.09685", file=file, got=card["arxiv"])
    for code in card["official_code"]:
        if not _CODE.fullmatch(code):
            raise DataError("official_code is owner/name", file=file, got=code)


def dumps(card: Mapping[str, Any]) -> str:
    """The card as TOML; unknown fields are left out. A JSON string is a TOML string."""
    return "".join(
        f"{name} = {json.dumps(card[name], ensure_ascii=False)}\n"
        for name in _ORDER
        if card.get(name) not in (None, (), [])
    )


def slug(title: str) -> str:
    """A short name from a title: its words before a colon, at most five.

    Raises:
        InputError: it has no letters of the Latin alphabet.
    """
    plain = unicodedata.normalize("NFKD", title.partition(":")[0].lower())
    words = re.findall(r"[a-z0-9]+", plain.encode("ascii", "ignore").decode())
    if not words:
        raise InputError("the title gives no short name", got=title, hint="Give one with --slug")
    return "-".join(words[:5])[:60].strip("-")


def store(card: Mapping[str, Any], into: Path) -> Path:
    """Write a card that was checked, as a whole; refuses to replace one.

    Raises:
        InputError: there is one of this name.
    """
    into.mkdir(parents=True, exist_ok=True)
    file = artifacts.inside(into, f"{card['slug']}.toml")
    if file.exists():
        raise InputError(f"the paper '{card['slug']}' is in {into} already", hint="Edit that file")
    artifacts.write_text(file, dumps(card))
    return file
