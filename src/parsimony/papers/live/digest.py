"""The digest: what changed in a period, sent once to every confirmed subscriber.

**Period.** An issue begins where the last one ended, or ``since`` before now for the first. It is
due when nine tenths of ``since`` have passed, so that a timer that fires a little early skips
nothing. Its content and its letters, one per confirmed subscriber, are written in one transaction
before anything is sent: whoever goes on after a kill sends the same to the same people.

**What is guaranteed.** A letter is ``waiting``, then ``handed``, then ``sent`` (or ``refused``,
when the server says never). The step to ``handed`` is one UPDATE that names ``waiting``; it is
committed when the whole message is at the server but for the closing dot, and without the dot the
server drops the message. So nobody gets an issue twice, whatever is killed when, and however many
processes send at once. A process killed before that commit leaves a letter that the next run
sends. One killed between that commit and the server's reply leaves a letter ``handed``: the
server has it or not, and nobody on this side can tell. Such letters are counted in the summary and
sent again only when asked for (``resend``), under the same Message-ID, by which many mail systems
drop a second copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from parsimony.core.errors import InputError
from parsimony.papers.catalogue import Card
from parsimony.papers.live import letters, subscribers, tokens
from parsimony.papers.live.database import Database, Issue, Letter, Subscriber
from parsimony.papers.live.letters import Sender
from parsimony.papers.live.mail import Post, RefusedError, Relay, UnfinishedError, UnknownError
from parsimony.papers.live.news import News, gather

SHARE_DUE = 0.9  # of the period
_PAGE = 200  # letters read at a time
_LOST = 3  # times in a row that nothing is sent before the run gives up
_TRIES = 5  # runs in which a server may say "not now" to a letter


@dataclass(frozen=True)
class Summary:
    """How an issue stands.

    Attributes:
        issue: its number; ``None`` when none is due or nothing changed.
        sent: letters that the server took on, in all runs.
        waiting: letters still to be sent; run again.
        handed: letters of which it is not known whether the server has them.
        refused: letters that the server will never take.
        note: why nothing, or not all, was sent; may be empty.
    """

    issue: int | None
    sent: int = 0
    waiting: int = 0
    handed: int = 0
    refused: int = 0
    note: str = ""


def preview(database: Database, cards: Sequence[Card], since: int, now: int) -> tuple[News, int]:
    """What an issue made now would tell, and to how many; writes nothing."""
    return gather(database, cards, _starts(database, since, now), now), subscribers.count(database)


def send(
    database: Database,
    cards: Sequence[Card],
    relay: Relay,
    sender: Sender,
    *,
    since: int,
    clock: Callable[[], float],
    resend: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Summary:
    """Go on with the unfinished issue, or make the next one if it is due, and send its letters.

    Args:
        since: seconds of a period.
        clock: seconds since 1970.
        resend: first set the ``handed`` letters of the newest issue back to ``waiting``.
        progress: called after each letter.

    Raises:
        InputError: the server takes no mail, before or after some letters; run again.
    """
    if resend:
        _reopen(database)
    issue = _unfinished(database) or _new(database, cards, since, int(clock()))
    if isinstance(issue, str):
        return Summary(None, note=issue)
    news = News.from_json(issue.content)
    lost = 0
    with Post(relay, sender.address.addr_spec) as post:
        for letter in _waiting(database, issue.id):
            again = True
            while again:
                try:
                    again = False
                    if _deliver(database, post, sender, issue, news, letter, clock):
                        lost = 0
                except (UnfinishedError, UnknownError) as error:
                    again = isinstance(error, UnfinishedError)
                    lost += 1
                    if lost == _LOST:
                        raise InputError(
                            f"the mail server {relay.host}:{relay.port} must take mail ({error})",
                            hint="Run the same command again: it goes on where it stopped",
                        ) from None
            progress()
    return _close(database, issue.id, int(clock()))


def _deliver(
    database: Database, post: Post, sender: Sender, issue: Issue, news: News,
    letter: Waiting, clock: Callable[[], float],
) -> bool:  # fmt: skip
    """Send one letter; whether the server answered, be it yes or no.

    Raises:
        UnfinishedError, UnknownError: the connection was lost.
    """
    now, token = int(clock()), tokens.new()
    at = "waiting"

    def hand_over() -> bool:
        nonlocal at
        with database.session() as session:
            if not _move(session, letter.id, "waiting", "handed"):
                return False  # another process has it, or the subscriber has gone
            expires = now + subscribers.UNSUBSCRIBE_WITHIN
            tokens.keep(session, token, subscribers.UNSUBSCRIBE, letter.subscriber, expires)
        at = "handed"
        return True

    message = letters.digest(
        sender, news, letter.address, token, f"{issue.ends}-{issue.id}-{letter.subscriber}", now
    )
    try:
        if not post.send(letter.address, message, hand_over):
            return False
        with database.session() as session:
            _move(session, letter.id, "handed", "sent")
    except RefusedError as refusal:
        over = refusal.forever or letter.tries + 1 >= _TRIES
        with database.session() as session:
            after = "refused" if over else "waiting"
            _move(session, letter.id, at, after, tries=letter.tries + 1, reply=refusal.text)
    return True


def left(database: Database) -> int:
    """How many letters the next run will try at most."""
    issue = _unfinished(database)
    if issue is None:
        return subscribers.count(database)
    with database.session() as session:
        query = select(func.count()).where(Letter.issue == issue.id, Letter.state == "waiting")
        return session.scalar(query) or 0


def _move(session: Session, letter: int, before: str, after: str, **more: object) -> bool:
    """Change a letter's state if it is ``before``; whether it was."""
    change = update(Letter).where(Letter.id == letter, Letter.state == before)
    return session.execute(change.values(state=after, **more)).rowcount == 1


@dataclass(frozen=True)
class Waiting:
    """A letter to be sent: its number, its subscriber's number and address, past refusals."""

    id: int
    subscriber: int
    address: str
    tries: int


def _waiting(database: Database, issue: int) -> Iterator[Waiting]:
    """Read page by page, so that memory does not grow with the subscribers."""
    last = 0
    while True:
        query = (
            select(Letter.id, Letter.subscriber, Subscriber.address, Letter.tries)
            .join(Subscriber, Subscriber.id == Letter.subscriber)
            .where(Letter.issue == issue, Letter.state == "waiting", Letter.id > last)
            .order_by(Letter.id)
            .limit(_PAGE)
        )
        with database.session() as session:
            page = [Waiting(*row) for row in session.execute(query)]
        if not page:
            return
        yield from page
        last = page[-1].id


def _unfinished(database: Database) -> Issue | None:
    with database.session() as session:
        return session.scalar(select(Issue).where(Issue.finished.is_(None)).order_by(Issue.id))


def _reopen(database: Database) -> None:
    """Let the letters of the newest issue that may not have arrived be sent again."""
    with database.session() as session:
        newest = session.scalar(select(func.max(Issue.id)))
        doubtful = (Letter.issue == newest, Letter.state == "handed")
        if session.execute(update(Letter).where(*doubtful).values(state="waiting")).rowcount:
            session.execute(update(Issue).where(Issue.id == newest).values(finished=None))


def _last(database: Database) -> tuple[int, int | None]:
    """Number and end of the newest issue; 0 and ``None`` when there is none."""
    with database.session() as session:
        number, ends = session.execute(select(func.max(Issue.id), func.max(Issue.ends))).one()
    return number or 0, ends


def _starts(database: Database, since: int, now: int) -> int:
    ends = _last(database)[1]
    return now - since if ends is None else ends


def _new(database: Database, cards: Sequence[Card], since: int, now: int) -> Issue | str:
    """The next issue with its letters, or why there is none."""
    number, ends = _last(database)
    if ends is not None and now - ends < SHARE_DUE * since:
        hours = -int(-(ends + SHARE_DUE * since - now) // 3600)
        return f"the next digest is due in {hours} h"
    news = gather(database, cards, _starts(database, since, now), now)
    if news.empty:
        return "nothing changed, so nothing is sent"
    issue = Issue(id=number + 1, starts=news.starts, ends=now, content=news.json(), finished=None)
    readers = select(
        literal(issue.id), Subscriber.id, literal("waiting"), literal(0), literal("")
    ).where(Subscriber.confirmed.is_not(None))
    columns = ["issue", "subscriber", "state", "tries", "reply"]
    try:
        with database.session() as session:
            subscribers.sweep(session, now)
            session.add(issue)
            session.flush()
            session.execute(insert(Letter).from_select(columns, readers))
    except IntegrityError:  # another process made it at this moment
        return _unfinished(database) or "another process has just sent it"
    return issue


def _close(database: Database, issue: int, now: int) -> Summary:
    """Finish the issue when no letter waits, and count."""
    with database.session() as session:
        found = session.execute(
            select(Letter.state, func.count()).where(Letter.issue == issue).group_by(Letter.state)
        )
        counts = {str(state): int(number) for state, number in found}
        if not counts.get("waiting"):
            session.execute(update(Issue).where(Issue.id == issue).values(finished=now))
    return Summary(issue, **counts)
