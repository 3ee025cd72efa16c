"""The live catalogue in a real browser: votes, subscription by mail, search, looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python.sync_playwright")

import uvicorn
from axe_playwright_python.sync_playwright import Axe
from live_parts import NOW, Clock, Sink, card, embed

from parsimony.papers import cards
from parsimony.papers.live import digest, letters, proposals, subscribers
from parsimony.papers.live.app import Settings, create
from parsimony.papers.live.database import Database
from parsimony.papers.live.mail import Relay
from parsimony.testing.browser import CHROMIUM, Noise, launched

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium"),
]


class Server:
    """A server of the catalogue on a port of this machine."""

    def __init__(self, database: Database, sink: Sink, clock: Clock) -> None:
        config = uvicorn.Config(lambda: None, host="127.0.0.1", port=0, log_level="error")
        self.socket = config.bind_socket()
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.relay = Relay.parse(sink.place, None, "", "")
        settings = Settings(base_url=self.url, secret=b"s" * 32, relay=self.relay)
        config = uvicorn.Config(
            create(settings, database, clock, embed), log_level="error", proxy_headers=False
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


@pytest.fixture
def server(papers: Path, database: Database, sink: Sink, clock: Clock) -> Iterator[Server]:
    running = Server(database, sink, clock)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as running:
        yield running


@pytest.fixture
def noise(server: Server) -> Iterator[Noise]:
    """What the pages of a test said; at its end, they said nothing and asked nobody else."""
    heard = Noise()
    yield heard
    assert heard.messages == []
    assert [url for url in heard.outside if not url.startswith(f"{server.url}/")] == []


def visit(browser: Any, noise: Noise, width: int = 1280, scheme: str = "light") -> Any:
    """An empty page whose noise is collected."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: noise.messages.append(message.text))
    page.on("pageerror", lambda error: noise.messages.append(str(error)))
    page.on("request", lambda request: noise.requests.append(request.url))
    return page


def link_in(sink: Sink, to: str, word: str) -> str:
    """The link with ``word`` in the newest letter to somebody."""
    text = sink.messages(to)[-1].get_body(("plain",))
    assert text is not None
    [found] = [part for part in text.get_content().split() if f"/{word}?" in part]
    return found


def test_a_vote_counts_once(browser: Any, server: Server, noise: Noise) -> None:
    page = visit(browser, noise)
    page.goto(server.url)
    vote = page.locator('.paper[data-slug="low-rank"] .vote button')
    assert vote.locator("b").inner_text() == "0"
    vote.click()
    page.locator('.paper[data-slug="low-rank"] .vote button:disabled').wait_for()
    assert page.locator(".vote button:disabled").count() == 1
    assert page.locator('.paper[data-slug="low-rank"] .vote b').inner_text() == "1"
    page.goto(f"{server.url}/papers/low-rank.html")
    assert page.locator(".vote button").is_disabled()
    assert "1 vote, yours is one" in page.locator(".vote button").inner_text()
    other = visit(browser, noise)  # a visitor without the cookie, from the same address
    other.goto(f"{server.url}/papers/low-rank.html")
    assert other.locator(".vote button").is_disabled()
    page.goto(f"{server.url}/#order=heat")
    page.select_option("#order", "heat")
    assert page.locator(".paper").first.get_attribute("data-slug") == "low-rank"


def test_subscribe_confirm_digest_unsubscribe(
    browser: Any, server: Server, noise: Noise, sink: Sink, database: Database, clock: Clock
) -> None:
    page = visit(browser, noise)
    page.goto(server.url)
    page.get_by_role("link", name="Subscribe", exact=True).click()
    page.fill("#address", "reader@example.org")
    page.get_by_role("button", name="Subscribe").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Look into your mail"
    assert sink.first.wait(30)  # sent after the page was answered
    assert subscribers.count(database) == 0
    page.goto(link_in(sink, "reader@example.org", "confirm"))
    assert subscribers.count(database) == 0  # opening the link is not enough
    page.get_by_role("button", name="Yes, send me the digest").click()
    assert page.get_by_role("heading", level=1).inner_text() == "You are subscribed"

    page.goto(f"{server.url}/papers/low-rank.html")
    page.locator(".vote button").click()
    page.locator(".vote button:disabled").wait_for()
    sender = letters.Sender.of(None, server.url)
    week = 7 * 86_400
    for _ in range(2):  # the second time it is sent already
        digest.send(database, cards(), server.relay, sender, since=week, clock=clock)
    assert sink.receivers == ["reader@example.org"] * 2
    assert "On low-rank" in sink.messages("reader@example.org")[-1].as_string()

    page.goto(link_in(sink, "reader@example.org", "unsubscribe"))
    assert subscribers.count(database) == 1
    page.get_by_role("button", name="Unsubscribe").click()
    assert page.get_by_role("heading", level=1).inner_text() == "You are unsubscribed"
    assert subscribers.count(database) == 0


def test_propose_and_search(browser: Any, server: Server, noise: Noise, database: Database) -> None:
    page = visit(browser, noise)
    page.goto(server.url)
    page.get_by_role("link", name="Propose", exact=True).click()
    page.fill("#title", "A paper on <b>bits</b>")
    page.fill("#link", "2106.09685")
    page.get_by_role("button", name="Propose").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Thank you"
    assert [p.title for p in proposals.listed(database)] == ["A paper on <b>bits</b>"]

    page.get_by_role("link", name="Ask", exact=True).click()
    page.fill("#meaning", "wide-nets")
    page.get_by_role("button", name="Ask").click()
    assert page.locator(".paper").first.get_attribute("data-slug") == "wide-nets"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_are_accessible_and_fit(
    browser: Any, server: Server, noise: Noise, sink: Sink, database: Database,
    papers: Path, scheme: str, width: int,
) -> None:  # fmt: skip
    (papers / "long-one.toml").write_text(card("long-one", title="A very long title " * 12))
    token = subscribers.subscribe(database, "a@example.org", NOW)
    page = visit(browser, noise, width, scheme)
    for path in ("/", "/papers/low-rank.html", "/search?q=what", "/search", "/subscribe",
                 "/propose", f"/confirm?token={token}"):  # fmt: skip
        page.goto(f"{server.url}{path}")
        found = Axe().run(page)
        assert found.violations_count == 0, (path, found.generate_report())
        overflow = "document.documentElement.scrollWidth > innerWidth"
        assert not page.evaluate(overflow), (path, "wider than the window")


def test_a_page_that_is_not_there_is_a_page(browser: Any, server: Server, noise: Noise) -> None:
    page = visit(browser, noise)
    page.goto(f"{server.url}/papers/nothing.html")
    assert page.get_by_role("heading", level=1).inner_text() == "There is no such page"
    page.get_by_role("link", name="To the papers").click()
    assert page.locator(".paper").count() == 3
    [said] = noise.messages  # by Chromium itself
    assert "404" in said
    noise.messages.clear()
