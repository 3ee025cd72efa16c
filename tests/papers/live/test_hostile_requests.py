"""What a server does with requests that mean no good: nothing, and the right status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from live_parts import Clock, Sink, embed, form_of, join
from sqlalchemy import func, select

from parsimony.papers.live import database as tables
from parsimony.papers.live import proposals, votes
from parsimony.papers.live.app import Settings, create
from parsimony.papers.live.database import Database
from parsimony.papers.live.mail import Relay

SECRET = b"s" * 32
EVIL = "<script>alert(1)</script>"
SQL = "x'; DROP TABLE votes; --"
Open = Callable[..., TestClient]


@pytest.fixture
def served(papers: Path, database: Database, clock: Clock, sink: Sink) -> Open:
    """A client of the one server with mail; with settings, of another one."""

    relay = Relay.parse(sink.place, None, "", "")
    plain: list[Any] = []

    def made(**settings: Any) -> Any:
        given = {"base_url": "http://testserver", "secret": SECRET, "relay": relay} | settings
        return create(Settings(**given), database, clock, embed)

    def opened(address: str = "203.0.113.7", **settings: Any) -> TestClient:
        if not settings and not plain:
            plain.append(made())
        app = made(**settings) if settings else plain[0]
        return TestClient(app, client=(address, 50000), follow_redirects=False)

    return opened


@pytest.fixture
def unchanged(database: Database) -> Iterator[None]:
    """Nothing is written to any table but the list of known papers."""

    def rows() -> dict[str, int]:
        with database.session() as session:
            kinds = (tables.Vote, tables.Subscriber, tables.Token, tables.Proposal, tables.Letter)
            return {
                kind.__tablename__: session.scalar(select(func.count()).select_from(kind)) or 0
                for kind in kinds
            }

    before = rows()
    yield
    assert rows() == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/papers/../../etc/passwd.html", 404),
        ("/papers/..%2f..%2fclaim.html", 404),
        ("/papers/%2e%2e.json", 404),
        ("/docs/..%2f..%2fREADME.html", 404),
        ("/docs/figures/..%2f..%2fpapers.db", 404),
        ("/assets/..%2f..%2fpapers.db", 404),
        ("/assets/papers.secret", 404),
        ("/areas/<script>.html", 404),
        ("/papers/'%20OR%201=1.html", 404),
        ("/openapi.json", 404),
        ("/search?q=" + "a" * 201, 422),
        ("/confirm", 422),
        ("/confirm?token=" + "A" * 43, 404),
        ("/confirm?token=" + "%27" * 43, 422),
        ("/unsubscribe?token=" + "A" * 43, 404),
        ("/papers/low-rank/vote", 405),
    ],
)
def test_addresses_that_lead_nowhere(served: Open, path: str, status: int) -> None:
    answer = served().get(path)
    assert answer.status_code == status
    assert "<script>" not in answer.text
    assert "etc/passwd" not in answer.text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("query", [EVIL, SQL, '" OR 1=1 --', "*", 'NEAR("', "\x00", "🦆" * 50, ""])
def test_queries_are_words_and_never_code(served: Open, query: str) -> None:
    answer = served().get("/search", params={"q": query})
    assert answer.status_code == 200
    assert EVIL not in answer.text
    assert served().get("/search.json", params={"q": query}).status_code == 200


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/papers/low-rank/vote", {}),
        ("/subscribe", {"address": "a@example.org"}),
        ("/propose", {"title": "A paper", "link": "2106.09685"}),
    ],
)
@pytest.mark.parametrize("form", ["", "forged", EVIL, "other"])
def test_forms_of_others_are_refused(
    served: Open, path: str, data: dict[str, str], form: str
) -> None:
    client = served()
    if form == "other":  # a form of ours, made for another visitor
        form = form_of(served().get("/propose").text)
        client.get("/propose")
    answer = client.post(path, data={**data, "form": form})
    assert answer.status_code == 403
    assert "too old or not ours" in answer.text


@pytest.mark.usefixtures("unchanged")
def test_a_form_of_ours_without_its_cookie_is_refused(served: Open) -> None:
    client = served()
    form = form_of(client.get("/propose").text)
    client.cookies.clear()
    assert client.post("/papers/low-rank/vote", data={"form": form}).status_code == 403


@pytest.mark.usefixtures("unchanged")
def test_a_form_of_another_secret_is_refused(served: Open) -> None:
    other = served(secret=b"t" * 32)
    form = form_of(other.get("/propose").text)
    client = served()
    client.cookies = other.cookies
    assert client.post("/papers/low-rank/vote", data={"form": form}).status_code == 403


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_refused(served: Open, chunked: bool) -> None:
    client = served()
    body = b"title=" + b"a" * 100_000
    content = iter([body[i : i + 4096] for i in range(0, len(body), 4096)]) if chunked else body
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post("/propose", content=content, headers=kind)
    assert answer.status_code == 413
    assert "too large" in answer.text.lower()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999"])
def test_lengths_that_lie_are_refused(served: Open, length: str) -> None:
    answer = served().post("/propose", content=b"", headers={"content-length": length})
    assert answer.status_code == 413


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "[", "[::1]", ""]
)
def test_other_hosts_are_refused(served: Open, host: str) -> None:
    assert served().get("/", headers={"host": host}).status_code == 400


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nBcc: b@example.org", "a@example.org\nx", "a@b", "no address", EVIL,
        '"a b"@example.org', "a@example.org, b@example.org", "a@exa mple.org", "@example.org",
        "ä@example.org", "a@" + "b" * 300 + ".org", "a@[127.0.0.1]", "a..b@example.org",
    ],
)  # fmt: skip
def test_what_is_no_address_gets_no_mail(served: Open, sink: Sink, address: str) -> None:
    client = served()
    form = form_of(client.get("/subscribe").text)
    answer = client.post("/subscribe", data={"address": address, "form": form})
    assert answer.status_code == 422
    assert EVIL not in answer.text
    assert sink.receivers == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("link", "javascript:alert(1)"), ("link", "http://example.org/paper"),
        ("link", "https://example.org/\"><script>"), ("link", "file:///etc/passwd"),
        ("link", "https://" + "a" * 400), ("title", "a" * 301), ("title", "  "),
        ("title", "a\x00b"), ("note", "a" * 2001), ("note", "a\x1bb"),
    ],
)  # fmt: skip
def test_proposals_that_break_a_rule(served: Open, field: str, value: str) -> None:
    client = served()
    form = form_of(client.get("/propose").text)
    data = {"title": "A paper", "link": "2106.09685", "note": "", "form": form, field: value}
    answer = client.post("/propose", data=data)
    assert answer.status_code == 422
    assert "<script>" not in answer.text.replace('<script src="', "")


def test_markup_and_sql_in_a_proposal_are_text(served: Open, database: Database) -> None:
    client = served()
    form = form_of(client.get("/propose").text)
    data = {"title": EVIL, "link": "2106.09685", "note": SQL, "form": form}
    assert client.post("/propose", data=data).status_code == 200
    [held] = proposals.listed(database)
    assert (held.title, held.note) == (EVIL, SQL)
    assert "alert(1)" not in client.get("/").text + client.get("/index.json").text
    assert votes.counts(database) == {}  # the table is there


def test_a_thousand_votes_of_one_client_count_once(served: Open, database: Database) -> None:
    client = served()
    form = form_of(client.get("/papers/low-rank.html").text)
    statuses = []
    for number in range(1000):
        if number % 3 == 0:  # a new visitor each time, from the same address
            client.cookies.clear()
            form = form_of(client.get("/papers/low-rank.html").text) if number < 60 else form
        statuses.append(client.post("/papers/low-rank/vote", data={"form": form}).status_code)
    assert votes.counts(database) == {"low-rank": 1}
    assert statuses.count(303) == 60 and statuses.count(429) == 940
    answer = client.post("/papers/low-rank/vote", data={"form": form})
    assert answer.headers["retry-after"] == "3600"
    assert "Too many requests" in answer.text


def test_one_client_is_one_network_of_version_6(served: Open, database: Database) -> None:
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        client = served(address)
        form = form_of(client.get("/papers/low-rank.html").text)
        client.post("/papers/low-rank/vote", data={"form": form})
    assert votes.counts(database) == {"low-rank": 2}


def test_a_forwarded_address_is_not_believed(served: Open, database: Database) -> None:
    client = served()
    form = form_of(client.get("/papers/low-rank.html").text)
    for number in range(5):
        headers = {"x-forwarded-for": f"198.51.100.{number}"}
        client.post("/papers/low-rank/vote", data={"form": form}, headers=headers)
    assert votes.counts(database) == {"low-rank": 1}


def test_nobody_can_be_flooded_with_confirmations(served: Open, sink: Sink) -> None:
    statuses = []
    for number in range(4):
        client = served(f"198.51.100.{number}")
        statuses += [_subscribe(client, "a@example.org") for _ in range(7)]
    assert statuses.count(200) == 20 and statuses.count(429) == 8
    assert sink.receivers == ["a@example.org"] * 3


def _subscribe(client: TestClient, address: str) -> int:
    form = form_of(client.get("/subscribe").text)
    return client.post("/subscribe", data={"address": address, "form": form}).status_code


def test_nobody_can_find_out_who_is_subscribed(served: Open, database: Database) -> None:
    join(database, "a@example.org")
    client = served()
    form = form_of(client.get("/subscribe").text)
    answers = [
        client.post("/subscribe", data={"address": f"{name}@example.org", "form": form})
        for name in "ab"
    ]
    assert answers[0].status_code == answers[1].status_code == 200
    strip = [a.text.replace(form_of(client.get("/subscribe").text), "") for a in answers]
    assert strip[0] == strip[1]


def test_every_answer_has_the_security_headers(served: Open) -> None:
    client = served()
    asked = [
        client.get("/"), client.get("/nowhere"), client.get("/", headers={"host": "evil.example"}),
        client.get("/index.json"), client.get("/assets/site.css"),
        client.post("/propose", content=b"a" * 100_000),
    ]  # fmt: skip
    assert {a.status_code for a in asked} == {200, 400, 404, 413}
    for answer in asked:
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and "script-src 'self';" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in answer.headers
        assert "<script>" not in answer.text and " onclick=" not in answer.text


def test_under_https_cookies_and_transport_are_strict(served: Open) -> None:
    answer = served(base_url="https://testserver").get("/")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    cookie = answer.headers["set-cookie"]
    for part in ("__Host-visitor=", "HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert part in cookie


def test_a_fault_of_ours_tells_nothing_and_is_guarded(
    served: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret is 42")

    app = served(base_url="https://papers.example").app
    monkeypatch.setattr("parsimony.papers.live.shelf.Shelf.find", broken)
    client = TestClient(app, "https://papers.example", raise_server_exceptions=False)
    answer = client.get("/search?q=prune")
    assert answer.status_code == 500
    assert "42" not in answer.text
    good = client.get("/").headers
    names = ("content-security-policy", "x-frame-options", "strict-transport-security")
    assert [answer.headers[name] for name in names] == [good[name] for name in names]
