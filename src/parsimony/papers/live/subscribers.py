"""Who gets the digest: subscribe, confirm by mail, unsubscribe with one click.

An address gets nothing but a confirmation until its owner confirms (double opt-in). The links in
mails open a page with a button, since scanners of mail open links too; the button's POST acts. The
same POST is what RFC 8058 lets a mail program send by itself. Asking for an address that is
subscribed already is answered like any other: nobody can find out who is.
"""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from parsimony.papers.live import tokens
from parsimony.papers.live.database import Database, Subscriber
from parsimony.papers.live.mail import check_address

CONFIRM_WITHIN = 48 * 3600  # seconds
UNSUBSCRIBE_WITHIN = 365 * 86_400  # seconds a link in an old digest works
CONFIRM, UNSUBSCRIBE = "confirm", "unsubscribe"


def subscribe(database: Database, address: str, now: int) -> str | None:
    """Enter an address that is to be confirmed.

    Returns:
        The token for its confirmation mail; ``None`` when the address is confirmed already.

    Raises:
        InputError: no address.
    """
    address = check_address(address)
    with database.session() as session:
        sweep(session, now)
        found = _by_key(session, address)
        if found is None:
            found = Subscriber(key=address.lower(), address=address, created=now, confirmed=None)
            session.add(found)
            session.flush()
        elif found.confirmed is not None:
            return None
        else:
            found.created = now
        token = tokens.new()
        tokens.keep(session, token, CONFIRM, found.id, now + CONFIRM_WITHIN)
        return token


def confirm(database: Database, token: str, now: int) -> bool:
    """Start the subscription; ``False`` when the token does not allow it. A second time is fine."""
    with database.session() as session:
        found = _holder(session, CONFIRM, token, now)
        if found is not None and found.confirmed is None:
            found.confirmed = now
        return found is not None


def unsubscribe(database: Database, token: str, now: int) -> bool:
    """Forget the subscriber, address and all; ``False`` when the token does not allow it."""
    with database.session() as session:
        found = _holder(session, UNSUBSCRIBE, token, now)
        if found is not None:
            session.execute(delete(Subscriber).where(Subscriber.id == found.id))
        return found is not None


def known(database: Database, purpose: str, token: str, now: int) -> bool:
    """Whether a link still works, without doing what it is for."""
    with database.session() as session:
        return _holder(session, purpose, token, now) is not None


def count(database: Database) -> int:
    """How many confirmed subscribers there are."""
    with database.session() as session:
        query = select(func.count()).where(Subscriber.confirmed.is_not(None))
        return session.scalar(query) or 0


def sweep(session: Session, now: int) -> None:
    """Forget expired tokens, and addresses that nobody confirmed in time."""
    tokens.sweep(session, now)
    unconfirmed = Subscriber.confirmed.is_(None)
    session.execute(
        delete(Subscriber).where(unconfirmed, Subscriber.created <= now - CONFIRM_WITHIN)
    )


def _by_key(session: Session, address: str) -> Subscriber | None:
    return session.scalar(select(Subscriber).where(Subscriber.key == address.lower()))


def _holder(session: Session, purpose: str, token: str, now: int) -> Subscriber | None:
    holder = tokens.holder(session, purpose, token, now)
    return None if holder is None else session.get(Subscriber, holder)
