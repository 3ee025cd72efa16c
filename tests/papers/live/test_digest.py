"""The digest: what it tells, to whom, when, and what the letters look like."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from live_parts import NOW, Clock, Sink, card, join
from sqlalchemy import func, select

from parsimony.core.errors import InputError
from parsimony.papers import cards, record
from parsimony.papers.live import digest, letters, news, subscribers, votes
from parsimony.papers.live.database import Database, Issue, Letter, Subscriber
from parsimony.papers.live.mail import Post, Relay, UnfinishedError, compose

DAY, WEEK = 86_400, 7 * 86_400
pytestmark = pytest.mark.usefixtures("papers")


class Digest:
    """Sends digests of one database to one sink."""

    def __init__(self, database: Database, sink: Sink, clock: Clock) -> None:
        self.database, self.clock = database, clock
        self.relay = Relay.parse(sink.place, None, "", "")
        self.sender = letters.Sender.of(
            "Our Papers <news@papers.example.org>", "https://papers.example.org"
        )
        news.note(database, cards(), clock.now - 30 * DAY)

    def send(self, **more: bool) -> digest.Summary:
        news.note(self.database, cards(), self.clock.now)
        return digest.send(
            self.database, cards(), self.relay, self.sender, since=WEEK, clock=self.clock, **more
        )


@pytest.fixture
def post(database: Database, sink: Sink, clock: Clock) -> Digest:
    return Digest(database, sink, clock)


def test_what_is_new_turned_and_trending(post: Digest, papers: Path, database: Database) -> None:
    assert news.gather(database, cards(), NOW - WEEK, NOW).empty
    (papers / "new-one.toml").write_text(card("new-one", title="A <b>new</b> one"))
    news.note(database, cards(), NOW - DAY)
    for reader in "xyz":
        votes.cast(database, "low-rank", reader, NOW - DAY)
    votes.cast(database, "few-bits", "x", NOW)
    votes.cast(database, "wide-nets", "x", NOW - 30 * DAY)
    found = news.gather(database, cards(), NOW - WEEK, NOW)
    assert [line.slug for line in found.new] == ["new-one"]
    assert [(line.slug, line.says) for line in found.trending] == [
        ("low-rank", "3 new votes"), ("few-bits", "1 new vote"),
    ]  # fmt: skip
    assert found.turned == () and news.News.from_json(found.json()) == found


def result(claim: str, passed: bool, at: int) -> record.Result:
    date = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return record.Result(claim, 3.0, None, passed, "", "", date, 1.0, "", {}, {}, "f")


@pytest.mark.parametrize(
    ("past", "says"),
    [
        ([(True, -1)], ["green (no results before)"]),
        ([(False, -1)], ["red (no results before)"]),
        ([(True, -10), (False, -1)], ["red (was green)"]),
        ([(False, -10), (True, -1)], ["green (was red)"]),
        ([(True, -10), (False, -3), (True, -1)], []),
        ([(True, -10), (True, -1)], []),
        ([(True, -10), (False, 1)], []),
    ],
)
def test_results_that_turned(
    database: Database, write_card: Any, past: Sequence[tuple[bool, int]], says: list[str]
) -> None:

    paper = write_card(write_card.claim())
    for passed, days in past:
        record.append("some-paper", result("three", passed, NOW + days * DAY))
    found = news.gather(database, [paper], NOW - WEEK, NOW)
    assert [line.says for line in found.turned] == says


def test_a_letter_is_whole_and_plain(post: Digest, papers: Path, sink: Sink) -> None:
    (papers / "new-one.toml").write_text(card("new-one", title="A <b>new</b> one & more"))
    join(post.database, "a@example.org")
    assert post.send().sent == 1
    [message] = sink.messages("a@example.org")
    assert str(message["From"]) == "Our Papers <news@papers.example.org>"
    assert message["Subject"] == "Papers that run: 1 new"
    assert message["Message-ID"] == f"<digest-{NOW}-1-1@papers.example.org>"
    text, html = (part.get_content().replace("\r", "") for part in message.iter_parts())
    assert "* A <b>new</b> one & more\n" in text
    assert "A &lt;b&gt;new&lt;/b&gt; one &amp; more</a>" in html and "<b>" not in html
    assert "https://papers.example.org/papers/new-one.html" in text
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = str(message["List-Unsubscribe"]).strip("<>")
    assert address in text
    # As mail programs read it: one line, neither folded nor encoded.
    assert f"List-Unsubscribe: <{address}>\r\n".encode() in sink.envelopes[0][1]
    token = address.partition("?token=")[2]
    assert subscribers.unsubscribe(post.database, token, NOW + 364 * DAY)
    assert subscribers.count(post.database) == 0


def test_only_the_confirmed_get_it_and_once(post: Digest, sink: Sink, clock: Clock) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, "a@example.org", "b@example.org")
    subscribers.subscribe(post.database, "c@example.org", NOW)
    assert post.send() == digest.Summary(1, sent=2)
    again = post.send()
    assert again == digest.Summary(None, note="the next digest is due in 152 h")
    clock.now += 6 * DAY
    assert post.send().note == "the next digest is due in 8 h"
    clock.now += DAY - 60  # a timer that is a little early
    assert post.send().note == "nothing changed, so nothing is sent"
    votes.cast(post.database, "few-bits", "x", clock.now)
    assert post.send() == digest.Summary(2, sent=2)
    assert sorted(sink.receivers) == ["a@example.org"] * 2 + ["b@example.org"] * 2


def test_an_issue_begins_where_the_last_one_ended(post: Digest, clock: Clock) -> None:
    for days in (0, 20):
        clock.now = NOW + days * DAY
        votes.cast(post.database, "low-rank", f"reader {days}", clock.now)
        post.send()
    with post.database.session() as session:
        periods = session.execute(select(Issue.starts, Issue.ends).order_by(Issue.id)).all()
    assert [tuple(p) for p in periods] == [(NOW - WEEK, NOW), (NOW, NOW + 20 * DAY)]


def test_what_the_server_refuses(post: Digest, sink: Sink, clock: Clock) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, "a@example.org", "never@example.org", "later@example.org")
    assert post.send() == digest.Summary(1, sent=1, waiting=1, refused=1)
    for _ in range(3):
        assert post.send().waiting == 1
    assert post.send() == digest.Summary(1, sent=1, refused=2)  # five times is enough
    assert sink.receivers == ["a@example.org"]
    with post.database.session() as session:
        replies = set(session.scalars(select(Letter.reply)))
    assert replies == {"", "550 no such user", "450 mailbox busy"}


def test_a_refusal_at_the_end_of_a_message_is_no_doubt(post: Digest, sink: Sink) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, "a@example.org")
    for answer in ("452 disk full", "554 looks like spam"):
        sink.answer = answer
        assert post.send() == digest.Summary(1, waiting=1)
    sink.answer = ""
    assert post.send() == digest.Summary(1, sent=1)
    assert sink.receivers == ["a@example.org"]


def test_letters_in_doubt_are_sent_again_only_when_asked_for(post: Digest, sink: Sink) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, *(f"{name}@example.org" for name in "abcd"))
    sink.answer = "hang up"
    with pytest.raises(InputError, match="must take mail"):
        post.send()
    sink.answer = ""
    assert post.send() == digest.Summary(1, sent=1, handed=3)  # three is when it gave up
    assert post.send().issue is None
    assert post.send(resend=True) == digest.Summary(1, sent=4)
    assert sorted(sink.receivers) == [f"{name}@example.org" for name in "abcd"]


def test_a_server_that_is_not_there(post: Digest, sink: Sink) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, "a@example.org")
    sink.stop()
    with pytest.raises(InputError) as caught:
        post.send()
    assert "the mail server 127.0.0.1:" in str(caught.value)
    assert "must take mail (ConnectionRefusedError" in str(caught.value)
    assert "Run the same command again: it goes on where it stopped" in str(caught.value)
    sink.start()
    assert post.send() == digest.Summary(1, sent=1)


def test_a_sender_that_is_refused_costs_no_letter(post: Digest, sink: Sink) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, "a@example.org", "b@example.org")
    post.sender = letters.Sender.of("stranger@example.org", "https://papers.example.org")
    with pytest.raises(InputError, match=r"must take mail \(SMTPSenderRefused: .*not from here"):
        post.send()
    post.sender = letters.Sender.of(None, "https://papers.example.org")
    assert post.send() == digest.Summary(1, sent=2)


def test_who_leaves_while_letters_wait_gets_none(post: Digest, sink: Sink) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, *(f"{name}@example.org" for name in ("never", "a", "b")))

    def leave() -> None:
        with post.database.session() as session:
            for gone in session.scalars(select(Subscriber).where(Subscriber.key.like("b@%"))):
                session.delete(gone)

    done = digest.send(
        post.database, cards(), post.relay, post.sender, since=WEEK, clock=post.clock,
        progress=leave,
    )  # fmt: skip
    assert done == digest.Summary(1, sent=1, refused=1)
    assert sink.receivers == ["a@example.org"]
    with post.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Letter)) == 2


def test_two_at_once_send_each_letter_once(post: Digest, sink: Sink) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    join(post.database, *(f"{number}@example.org" for number in range(20)))
    summaries = []

    def other() -> None:  # a second run that starts and ends while the first sends
        if not summaries:
            summaries.append(None)
            summaries[0] = post.send()

    digest.send(
        post.database, cards(), post.relay, post.sender, since=WEEK, clock=post.clock,
        progress=other,
    )  # fmt: skip
    assert sorted(sink.receivers) == sorted(f"{number}@example.org" for number in range(20))


def test_a_header_cannot_be_broken() -> None:
    sender = letters.Sender.of(None, "http://127.0.0.1:8080")
    with pytest.raises(ValueError, match="may not contain linefeed"):
        compose(
            sender=sender.address, to="a@example.org", subject="a\r\nBcc: b@example.org",
            text="", html="", message_id="<x@y>", now=NOW,
        )  # fmt: skip
    with pytest.raises(InputError, match="--sender must be one line"):
        letters.Sender.of("A <a@example.org>\r\nBcc: b@example.org", "http://127.0.0.1")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("nowhere", None, "", ""), "--smtp must be HOST:PORT, but got 'nowhere'"),
        (("host:0", None, "", ""), "--smtp must be HOST:PORT, but got 'host:0'"),
        (("host:25", "ssl", "", ""), "--smtp-tls is none, starttls, tls, but got 'ssl'"),
        (("host:25", "none", "me", "pw"), "a password must not travel unencrypted"),
    ],
)
def test_a_relay_that_cannot_be(given: tuple[str, str | None, str, str], text: str) -> None:
    with pytest.raises(InputError) as caught:
        Relay.parse(*given)
    assert str(caught.value).startswith(text) and "pw" not in str(caught.value)


def test_mail_leaves_the_machine_encrypted_unless_asked() -> None:
    assert Relay.parse("mail.example.org:587", None, "me", "pw").tls == "starttls"
    assert Relay.parse("[::1]:25", None, "", "").tls == "none"
    assert "pw" not in repr(Relay.parse("mail.example.org:587", None, "me", "pw"))


def test_the_preview_is_the_letter(post: Digest) -> None:
    votes.cast(post.database, "low-rank", "x", NOW)
    found, readers = digest.preview(post.database, cards(), WEEK, NOW)
    shown = letters.preview(found, "https://papers.example.org")
    assert "On low-rank" in shown and readers == 0
    with post.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Issue)) == 0
    assert json.loads(found.json())["trending"][0]["slug"] == "low-rank"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_certificates_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    subprocess.run(
        [*command.split(), "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem",
         "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    sink = Sink(**{"tls_context" if tls == "starttls" else "ssl_context": context})
    sink.start()
    try:
        relay = Relay.parse(f"localhost:{sink.port}", tls, "", "")
        with (
            Post(relay, "b@example.org") as post,
            pytest.raises(UnfinishedError, match="certificate verify failed"),
        ):
            post.send("a@example.org", b"Subject: x\r\n\r\nx\r\n", lambda: True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        with Post(relay, "b@example.org") as post:
            assert post.send("a@example.org", b"Subject: x\r\n\r\n.x\r\n", lambda: True)
    finally:
        sink.stop()
    assert sink.envelopes == [("a@example.org", b"Subject: x\r\n\r\n.x\r\n")]
