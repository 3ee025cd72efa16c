"""Adds a paper to the user's own cards, after it was held against the rules of every card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parsimony.core.errors import InputError
from parsimony.papers import arxiv, catalogue, own


def read(file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a card, from a TOML card or from arXiv's metadata and what the user gave.

    Args:
        file: ``CARD.toml``, or metadata that ends in .xml, .atom or .json.
        given: ``slug``, ``areas``, ``summary``, ``mechanism``; what is ``None`` or empty was not.

    Raises:
        DataError: the file breaks a rule.
        InputError: no such file, or a field that only the user can tell is missing.
    """
    if not file.is_file():
        raise InputError(f"the file {file} must exist", hint="Check the path")
    given = {name: value for name, value in given.items() if value}
    if file.suffix == ".toml":
        return own.fields(file)[0] | given
    if file.suffix not in (".xml", ".atom", ".json"):
        raise InputError(
            "a paper is added from a card (.toml) or from arXiv's metadata (.xml, .atom, .json)",
            got=file.name,
        )
    return complete(arxiv.read(file), given)


def complete(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A card from metadata and what only a person can say.

    Raises:
        InputError: no area, or no summary.
    """
    for name, option in (("areas", "--area"), ("summary", "--summary")):
        if not given.get(name):
            raise InputError(
                f"metadata does not say the {name} of a card", hint=f"Give it with {option}"
            )
    return {
        "slug": own.slug(known["title"]),
        "mechanism": "not built here",
        "official_code": (),
        "licence": None,
        **known,
        **given,
    }


def check(card: Mapping[str, Any], into: Path, file: str) -> dict[str, Any]:
    """The fields of a card that keeps the rules and is new to the catalogue.

    Args:
        into: folder of the user's own cards.
        file: what an error names.

    Raises:
        DataError: it breaks a rule.
        InputError: the catalogue has a paper of this name, title or preprint.
    """
    fields = dict(card)
    own.check_slug(fields.get("slug"), file)
    catalogue.check(fields, Path(f"{fields['slug']}.toml"))
    known = [*catalogue.cards(catalogue.CARDS), *(catalogue.cards(into) if into.is_dir() else ())]
    own.check(fields, {area for paper in known for area in paper.areas}, file)
    for paper in known:
        for name in ("slug", "title", "arxiv"):
            if fields[name] is not None and fields[name] == getattr(paper, name):
                raise InputError(
                    f"the catalogue has a paper of this {name}, '{paper.slug}'", got=fields[name]
                )
    return fields


def add(card: Mapping[str, Any], into: Path, file: str) -> Path:
    """Check a card and write it to the folder ``into``.

    Raises:
        DataError, InputError: see ``check``; or the folder cannot be written.
    """
    fields = check(card, into, file)
    try:
        return own.store(fields, into)
    except OSError as error:
        raise InputError(f"the folder of cards must be writable ({error})", got=str(into)) from None
