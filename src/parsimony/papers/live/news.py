"""What changed in a period: papers that came, results that turned, what readers voted for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, insert, select

from parsimony.papers import record
from parsimony.papers.catalogue import Card
from parsimony.papers.live import votes
from parsimony.papers.live.database import Database, Seen, Vote
from parsimony.papers.record import Result

MOST_TRENDING = 5


@dataclass(frozen=True)
class Line:
    """One paper of a digest: its name, its title, and what is said of it."""

    slug: str
    title: str
    says: str


@dataclass(frozen=True)
class News:
    """The content of a digest.

    Attributes:
        starts: of the period, seconds since 1970.
        ends: of the period.
        new: papers that entered the catalogue.
        turned: papers whose recorded results changed their verdict.
        trending: papers with votes in the period, by score.
    """

    starts: int
    ends: int
    new: tuple[Line, ...]
    turned: tuple[Line, ...]
    trending: tuple[Line, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.new or self.turned or self.trending)

    def json(self) -> str:
        """For the database."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> News:
        """Inverse of ``json``."""
        data = json.loads(text)
        parts = {
            name: tuple(Line(**line) for line in data[name])
            for name in ("new", "turned", "trending")
        }
        return cls(data["starts"], data["ends"], **parts)


def note(database: Database, cards: Iterable[Card], now: int) -> None:
    """Remember when each paper was first here; those of a new database are no news."""
    with database.session() as session:
        known = set(session.scalars(select(Seen.slug)))
        at = now if known else None
        unknown = [{"slug": c.slug, "at": at} for c in cards if c.slug not in known]
        if unknown:
            session.execute(insert(Seen), unknown)


def gather(database: Database, cards: Sequence[Card], starts: int, ends: int) -> News:
    """The news after ``starts`` up to ``ends``, seconds since 1970."""
    by_slug = {c.slug: c for c in cards}
    with database.session() as session:
        came = session.scalars(
            select(Seen.slug).where(Seen.at > starts, Seen.at <= ends).order_by(Seen.at, Seen.slug)
        )
        new = [by_slug[slug] for slug in came if slug in by_slug]
        recent = {
            row[0]: row[1]
            for row in session.execute(
                select(Vote.slug, func.count())
                .where(Vote.at > starts, Vote.at <= ends)
                .group_by(Vote.slug)
            )
        }
    ranked = [slug for slug in votes.trending(database, ends) if slug in recent.keys() & by_slug]
    return News(
        starts=starts,
        ends=ends,
        new=tuple(Line(c.slug, c.title, c.summary) for c in new),
        turned=tuple(_turned(cards, starts, ends)),
        trending=tuple(
            Line(slug, by_slug[slug].title, f"{recent[slug]} new vote{'s'[: recent[slug] > 1]}")
            for slug in ranked[:MOST_TRENDING]
        ),
    )


def _turned(cards: Sequence[Card], starts: int, ends: int) -> Iterable[Line]:
    for card in cards:
        history = record.history(card.slug) if card.claims else {}
        histories = [history[c.name] for c in card.claims if c.name in history]
        before, after = _verdict(histories, starts), _verdict(histories, ends)
        if after not in (before, "not yet"):
            was = "no results before" if before == "not yet" else f"was {before}"
            yield Line(card.slug, card.title, f"{after} ({was})")


def _verdict(histories: Sequence[Sequence[Result]], at: int) -> str:
    """The verdict of the newest results up to a moment, whatever changed in the code since."""
    newest = [past[-1] for h in histories if (past := [r for r in h if _time(r) <= at])]
    if not newest:
        return "not yet"
    return "green" if all(r.passed for r in newest) else "red"


def _time(result: Result) -> float:
    return datetime.fromisoformat(result.date).timestamp()
