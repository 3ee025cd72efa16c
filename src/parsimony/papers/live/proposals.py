"""Papers that readers propose, held until a maintainer accepts or rejects them.

A proposal is shown to nobody but the maintainer. Accepting one writes a card of the user's own;
what the reader wrote as a note stays out of it.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from parsimony.core.errors import InputError
from parsimony.papers import adding, own
from parsimony.papers.live.database import Database, Proposal

LONGEST = {"title": 300, "link": 300, "note": 2000}  # characters
MOST_HELD = 500
_ARXIV = re.compile(rf"(?:https://)?arxiv\.org/(?:abs|pdf)/({own.ARXIV.pattern})(?:v\d+)?")
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?(/[\x21\x23-\x3b\x3d\x3f-\x7e]*)?")


class FullError(Exception):
    """As many proposals are held as may be."""


def propose(database: Database, title: str, link: str, note: str, now: int) -> bool:
    """Hold a proposal; ``False`` when this link was proposed before.

    Args:
        title: of the paper, one line.
        link: its https address, or an arXiv identifier.
        note: why, in any words; may be empty.

    Raises:
        InputError: a field breaks its rule.
        FullError: see there.
    """
    title = " ".join(title.split())
    _check("title", title)
    _check("note", note, breaks=True)
    if not title:
        raise InputError("a proposal needs the title of the paper")
    held = Proposal(title=title, link=_link(link.strip()), note=note.strip(), created=now)
    with database.session() as session:
        count = session.scalar(select(func.count()).where(Proposal.state == "held")) or 0
        if count >= MOST_HELD:
            raise FullError
    try:
        with database.session() as session:
            session.add(held)
    except IntegrityError:
        return False
    return True


def listed(database: Database, state: str = "held") -> list[Proposal]:
    """The proposals of a state, oldest first."""
    with database.session() as session:
        query = select(Proposal).where(Proposal.state == state).order_by(Proposal.id)
        return list(session.scalars(query))


def accept(database: Database, number: int, into: Path, given: dict[str, Any]) -> Path:
    """Write the card of a held proposal to the folder ``into``.

    Args:
        given: ``areas`` and ``summary``; also ``year``, ``authors``, ``slug``, ``mechanism``.

    Raises:
        InputError: no such proposal, or a field is missing or breaks a rule.
    """
    proposal = _held(database, number)
    preprint = _ARXIV.fullmatch(proposal.link)
    known: dict[str, Any] = {
        "title": proposal.title, "authors": None, "venue": None,
        "arxiv": preprint[1] if preprint else None,
        "year": 2000 + int(preprint["year"]) if preprint and preprint["year"] else None,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value}
    if not (given.get("year") or known["year"]):
        raise InputError(f"the link of proposal {number} does not tell the year",
                         got=proposal.link, hint="Give it with --year")  # fmt: skip
    file = adding.add(adding.complete(known, given), into, f"proposal {number}")
    _decide(database, number, "accepted")
    return file


def reject(database: Database, number: int) -> None:
    """Put a held proposal aside; its link cannot be proposed again.

    Raises:
        InputError: no such proposal.
    """
    _held(database, number)
    _decide(database, number, "rejected")


def _held(database: Database, number: int) -> Proposal:
    with database.session() as session:
        found = session.get(Proposal, number)
    if found is None or found.state != "held":
        raise InputError(
            "no proposal of this number is held", got=number,
            hint="See: parsimony papers proposals list",
        )  # fmt: skip
    return found


def _decide(database: Database, number: int, state: str) -> None:
    with database.session() as session:
        session.execute(update(Proposal).where(Proposal.id == number).values(state=state))


def _check(name: str, text: str, breaks: bool = False) -> None:
    if len(text) > LONGEST[name]:
        raise InputError(f"the {name} has at most {LONGEST[name]} characters", got=len(text))
    allowed = "\r\n\t" if breaks else ""
    if any(unicodedata.category(c).startswith("C") and c not in allowed for c in text):
        raise InputError(f"the {name} must be printable text")


def _link(text: str) -> str:
    _check("link", text)
    if own.ARXIV.fullmatch(text):
        return f"https://arxiv.org/abs/{text}"
    if preprint := _ARXIV.fullmatch(text):
        return f"https://arxiv.org/abs/{preprint[1]}"
    if not _LINK.fullmatch(text):
        raise InputError("the link is an https address or an arXiv identifier", got=text[:80])
    return text
