"""Finds the cards and reads them as text: listing every paper imports none of them.

A card of a user's own is TOML (see ``own.py``). Every other is a file of ``cards/`` with a literal
``CARD`` and functions under ``@claim(...)``. Both are read from the syntax tree; the file is
imported only when one of its claims runs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from parsimony.core.errors import DataError, InputError, nearest
from parsimony.papers import own
from parsimony.papers.claim import Claim, Measurement

_PACKAGE = Path(__file__).parent / "cards"
CARDS = _PACKAGE

_TEXT = ("slug", "title", "mechanism", "summary")
_OPTIONAL_TEXT = ("arxiv", "venue", "licence")
_TUPLES = ("areas", "official_code")
_FIELDS = {*_TEXT, *_OPTIONAL_TEXT, *_TUPLES, "year", "authors"}


@dataclass(frozen=True)
class Card:
    """One paper.

    Attributes:
        slug: its name here; the file's name with hyphens.
        title: the paper's own title.
        authors: as far as known; ``None`` when not.
        year: of the first public version.
        arxiv: identifier without version, or ``None``.
        venue: where it was published, or ``None``.
        areas: the areas its mechanism belongs to, at least one.
        mechanism: where that mechanism lives, or will live.
        summary: one sentence: what it does for a user.
        official_code: repositories as ``owner/name``; empty when none is known.
        licence: of the official code; ``None`` when not known.
        claims: in the order of the file.
        fingerprint: sha256 of the card's file; results of another fingerprint are stale.
    """

    slug: str
    title: str
    authors: tuple[str, ...] | None
    year: int
    arxiv: str | None
    venue: str | None
    areas: tuple[str, ...]
    mechanism: str
    summary: str
    official_code: tuple[str, ...]
    licence: str | None
    claims: tuple[Claim, ...]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The metadata, without claims; ready for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in sorted(_FIELDS)
            for value in [getattr(self, name)]
        }


def cards(folder: Path | None = None) -> tuple[Card, ...]:
    """Every card of ``folder``, by slug; by default the package's own, then the user's.

    Raises:
        DataError: a file is not a card, or two have one slug: names the file and the rule.
    """
    return tuple(read(file) for file in _files(folder).values())


def card(slug: str, folder: Path | None = None) -> Card:
    """The card called ``slug``.

    Raises:
        InputError: no such card; names the nearest.
        DataError: its file is not a card.
    """
    files = _files(folder)
    if slug not in files:
        raise InputError(f"unknown paper '{slug}'", hint=nearest(slug, files))
    return read(files[slug])


def _files(folder: Path | None) -> dict[str, Path]:
    """The files of the cards by slug."""
    mine = own.folder() if folder is None else None
    places = [folder or CARDS, *([mine] if mine is not None else [])]
    found: dict[str, Path] = {}
    for place in places:
        for file in sorted([*place.glob("*.py"), *place.glob("*.toml")]):
            if file.name == "__init__.py" or (place == mine and file.suffix == ".py"):
                continue
            if slug_of(file) in found:
                raise DataError(
                    f"there is another card '{slug_of(file)}'", file=file, hint="Rename one of them"
                )
            found[slug_of(file)] = file
    return found


def slug_of(file: Path) -> str:
    """The name of the card in a file."""
    return file.stem.replace("_", "-")


def read(file: Path) -> Card:
    """Read one card without importing it.

    Raises:
        DataError: no literal ``CARD``, a missing or unknown key, a wrong type, a slug other than
            the file's, or a claim whose arguments are not literals or break a rule.
    """
    if file.suffix == ".toml":
        written, fingerprint = own.fields(file)
        return Card(**check(written, file), claims=(), fingerprint=fingerprint)
    source = file.read_bytes()
    try:
        tree = ast.parse(source, filename=str(file))
    except SyntaxError as error:
        raise DataError(f"a card must be Python ({error.msg})", file=file.name) from None
    fields = check(_metadata(tree, file), file)
    claims = tuple(_claims(tree, file))
    names = [c.name for c in claims]
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        raise DataError("a claim's name must be unique in its card", file=file.name, got=repeated)
    return Card(**fields, claims=claims, fingerprint=hashlib.sha256(source).hexdigest())


def _metadata(tree: ast.Module, file: Path) -> dict[str, Any]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["CARD"]:
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                break
            if isinstance(value, dict):
                return value
            break
    raise DataError("a card needs CARD = {...}, all of it literals", file=file.name)


def check(fields: dict[str, Any], file: Path) -> dict[str, Any]:
    """The fields of a card, as they are.

    Raises:
        DataError: a key is missing or unknown, a value of a wrong type, or the slug not the file's.
    """
    if unknown := sorted(map(str, fields.keys() - _FIELDS)):
        hint = nearest(unknown[0], _FIELDS)
        raise DataError(f"unknown key '{unknown[0]}' in CARD", file=file.name, hint=hint)
    if missing := sorted(_FIELDS - fields.keys()):
        raise DataError(f"CARD lacks: {', '.join(missing)}", file=file.name)
    for name, value in fields.items():
        if not _fits(name, value):
            raise DataError(f"CARD has a bad {name}", file=file.name, got=value)
    if fields["slug"] != slug_of(file):
        raise DataError(
            f"the slug must be the file's name, '{slug_of(file)}'",
            file=file.name,
            got=fields["slug"],
        )
    return fields


def _fits(name: str, value: object) -> bool:
    if name == "year":
        return isinstance(value, int) and 1900 < value < 2100
    if name in _OPTIONAL_TEXT:
        return value is None or _is_text(value)
    if name == "authors":
        return value is None or (_is_texts(value) and value != ())
    if name in _TUPLES:
        return _is_texts(value) and (name != "areas" or value != ())
    return _is_text(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


def _claims(tree: ast.Module, file: Path) -> Iterator[Claim]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "claim":
                yield _claim(mark, node.name, file)


def _claim(mark: ast.Call, function: str, file: Path) -> Claim:
    try:
        fields = {str(k.arg): ast.literal_eval(k.value) for k in mark.keywords}
    except ValueError:
        raise DataError(
            f"the arguments of @claim on {function}() must be literals", file=file.name
        ) from None
    try:
        return Claim(**fields, run=partial(_run, file, function))
    except (InputError, TypeError) as error:
        raise DataError(f"@claim on {function}(): {error}", file=file.name) from None


def _run(file: Path, function: str) -> Measurement:
    """Import the card and run one of its claims; the only place that imports a card."""
    found: Claim = getattr(load(file), function)
    return found.run()


def load(file: Path) -> ModuleType:
    """Import a card; those of the package under their ordinary name."""
    if file.parent == _PACKAGE:
        return importlib.import_module(f"parsimony.papers.cards.{file.stem}")
    spec = importlib.util.spec_from_file_location(f"parsimony_card_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise DataError("a card must be a Python file", file=file.name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
