"""The pages of the live catalogue: those of the static site, and what only a server has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from live_parts import NOW, Clock, card, embed, form_of, join
from sqlalchemy import select

from parsimony.papers.live import news, subscribers, tokens, votes
from parsimony.papers.live.app import Settings, create
from parsimony.papers.live.database import Database, Subscriber

Open = Callable[..., TestClient]


@pytest.fixture
def served(papers: Path, database: Database, clock: Clock) -> Open:
    """A client of a server without mail; further settings as given."""

    def opened(**settings: Any) -> TestClient:
        given = {"base_url": "http://testserver", "secret": b"s" * 32} | settings
        return TestClient(create(Settings(**given), database, clock, embed))

    return opened


def test_every_link_leads_somewhere(served: Open, tmp_path: Path) -> None:
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "docs" / "adapt.md").write_text("# Adapt\n\n![a line](figures/line.svg)\n")
    (tmp_path / "docs" / "figures" / "line.svg").write_text("<svg/>")
    client = served(docs=tmp_path / "docs")
    seen, left = set(), ["/"]
    while left:
        path = left.pop()
        answer = client.get(path)
        assert answer.status_code == 200, path
        seen.add(path)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        ids = re.findall(r'\sid="([^"]+)"', answer.text)
        assert len(ids) == len(set(ids)), path
        for link in re.findall(r'(?:href|src|action)="([^"#]+)[^"]*"', answer.text):
            to = urljoin(path, link)
            if to.startswith("/") and not to.endswith("/vote") and to not in seen | set(left):
                left.append(to)
    assert {
        "/index.html", "/red.html", "/areas/index.html", "/areas/adapt.html", "/feed.xml",
        "/index.json", "/papers/low-rank.html", "/papers/low-rank.json", "/docs/adapt.html",
        "/docs/figures/line.svg", "/assets/site.css", "/assets/index.js", "/search", "/subscribe",
        "/propose",
    } <= seen  # fmt: skip


def test_votes_are_part_of_pages_and_data(served: Open, database: Database) -> None:
    votes.cast(database, "low-rank", "x", NOW)
    client = served()
    assert client.get("/papers/low-rank.json").json()["votes"] == 1
    listed = {p["slug"]: p["votes"] for p in client.get("/index.json").json()["papers"]}
    assert listed == {"few-bits": 0, "low-rank": 1, "wide-nets": 0}
    assert 'data-heat="1.0"' in client.get("/").text
    form = form_of(client.get("/").text)
    answer = client.post("/papers/low-rank/vote", data={"form": form},
                         headers={"accept": "application/json"})  # fmt: skip
    assert answer.json() == {"votes": 2}


def test_votes_of_another_process_are_seen_in_time(
    served: Open, database: Database, clock: Clock
) -> None:
    client = served()
    assert client.get("/papers/low-rank.json").json()["votes"] == 0
    votes.cast(database, "low-rank", "x", NOW)
    clock.now += 31
    assert client.get("/papers/low-rank.json").json()["votes"] == 1


def test_without_javascript_a_vote_comes_back_to_its_page(served: Open) -> None:
    client = served()
    for back, path in {"paper": "/papers/low-rank.html", "home": "/index.html"}.items():
        form = form_of(client.get("/").text)
        answer = client.post("/papers/low-rank/vote", data={"form": form, "back": back})
        assert answer.url.path == path and answer.history[0].status_code == 303
    form = form_of(client.get("/").text)
    data = {"form": form, "back": "https://evil.example"}
    assert client.post("/papers/low-rank/vote", data=data).status_code == 422


def test_a_new_card_is_shown_and_is_news(
    served: Open, papers: Path, database: Database, clock: Clock
) -> None:
    client = served()
    clock.now += 60
    (papers / "new-one.toml").write_text(card("new-one"))
    assert client.get("/papers/new-one.html").status_code == 200
    from parsimony.papers import cards

    assert [n.slug for n in news.gather(database, cards(), NOW, clock.now).new] == ["new-one"]


def test_a_broken_card_leaves_the_catalogue_as_it_was(
    served: Open, papers: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = served()
    (papers / "broken.toml").write_text("slug = ")
    assert client.get("/papers/low-rank.html").status_code == 200
    assert client.get("/health").json() == {"ok": True, "papers": 3}
    assert "the catalogue is shown as it was: broken.toml: a card must be TOML" in caplog.text


def test_mail_programs_unsubscribe_with_one_post(served: Open, database: Database) -> None:
    join(database, "a@example.org")
    token = tokens.new()
    with database.session() as session:
        [reader] = session.scalars(select(Subscriber.id))
        tokens.keep(session, token, subscribers.UNSUBSCRIBE, reader, NOW + 60)
    client = served()
    address = f"/unsubscribe?token={token}"
    assert client.get(address).status_code == 200 and subscribers.count(database) == 1
    client.cookies.clear()
    answer = client.post(address, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200 and subscribers.count(database) == 0
    assert client.post(address).status_code == 404


def test_a_server_without_mail_says_so(served: Open) -> None:
    client = served()
    page = client.get("/subscribe").text
    assert "This server sends no mail" in page and "<form" not in page
    data = {"address": "a@example.org", "form": form_of(client.get("/propose").text)}
    answer = client.post("/subscribe", data=data)
    assert answer.status_code == 503 and "use the feed" in answer.text


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_this_machine_has_many_names(served: Open, host: str) -> None:
    client = served(base_url="http://127.0.0.1:8080")
    assert client.get("/health", headers={"host": host}).status_code == 200


def test_the_feed_has_whole_addresses(served: Open) -> None:
    answer = served(base_url="http://testserver").get("/feed.xml")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    assert 'href="http://testserver/papers/low-rank.html"' in answer.text
