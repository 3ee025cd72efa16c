"""Upvotes, one per reader and paper, and the score that orders papers by recent votes.

A reader is a network address: there are no accounts, and a cookie can be thrown away at will.
Readers behind one address share one vote. The database keeps a keyed hash of the address.

score(p, today) = sum over the days d of  votes(p, d) * 2^(-(today - d) / H),  H = 7 days

This is the exponential decay of Cormode, Shkapenyuk, Srivastava and Xu, "Forward decay: a
practical time decay model for streaming systems" (ICDE 2009, section III), with whole days. Under
it a vote loses half its weight in H, and two papers that get no further vote keep their order.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from parsimony.papers.live.database import Database, Vote

HALF_LIFE = 7  # days
_DAY = 86_400  # seconds
_FORGOTTEN = 20 * HALF_LIFE  # days; a vote then weighs less than a millionth


def cast(database: Database, slug: str, reader: str, now: int) -> bool:
    """Count a vote; ``False`` when this reader's vote for the paper was counted before."""
    try:
        with database.session() as session:
            session.add(Vote(slug=slug, reader=reader, at=now))
    except IntegrityError:
        return False
    return True


def counts(database: Database) -> dict[str, int]:
    """Votes by paper, for papers that have any."""
    with database.session() as session:
        found = session.execute(select(Vote.slug, func.count()).group_by(Vote.slug))
        return {row[0]: row[1] for row in found}


def trending(database: Database, now: int) -> dict[str, float]:
    """The score by paper, highest first, for papers with a vote that still weighs something."""
    today = now // _DAY
    day = (Vote.at // _DAY).label("day")
    query = (
        select(Vote.slug, day, func.count())
        .where(Vote.at >= (today - _FORGOTTEN + 1) * _DAY)
        .group_by(Vote.slug, day)
    )
    scores: dict[str, float] = {}
    with database.session() as session:
        for slug, cast_on, count in session.execute(query):
            scores[slug] = scores.get(slug, 0) + count * 2 ** ((cast_on - today) / HALF_LIFE)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
