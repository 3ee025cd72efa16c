"""The live catalogue as an ASGI application: the pages of the static site, and what needs a server.

The addresses of the pages are those of the static site, so that its links work in both. What
changes something is a POST that carries the token of a form of ours; the one exception is the POST
of RFC 8058 to /unsubscribe, which mail programs send and which its own token lets through.
"""

from __future__ import annotations

import logging
import mimetypes
import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Form, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException

import parsimony
from parsimony.core.errors import InputError, ParsimonyError
from parsimony.papers.live import letters, proposals, security, subscribers, tokens, votes
from parsimony.papers.live.database import Database, Vote
from parsimony.papers.live.mail import (
    LONGEST,
    Post,
    RefusedError,
    Relay,
    UnfinishedError,
    UnknownError,
    check_address,
)  # fmt: skip
from parsimony.papers.live.security import Forms, Rates
from parsimony.papers.live.shelf import READER, Live, Reader, Shelf, Shelves
from parsimony.papers.site import build, feed, meaning, search
from parsimony.papers.site.render import ASSETS, SHOWN

LOG = logging.getLogger("parsimony.papers")
_HERE = Path(__file__).parent
_TOKEN = Query(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]+$")
_QUERY = Query(max_length=200)
_TITLES = {
    400: "That request makes no sense", 403: "Not allowed", 404: "There is no such page",
    405: "Not like this", 413: "Too large", 422: "Something is missing or wrong",
    429: "Too many requests", 503: "Not now",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How a server is set up.

    Attributes:
        base_url: address of the pages, without a slash at the end.
        secret: signs forms and hides addresses.
        relay: takes mail; ``None`` when the server sends none.
        sender: of mail; ``None`` gives a default.
        docs: folder of the guides, where there are any.
        rates: other rates than ``security.RATES``.
    """

    base_url: str
    secret: bytes = field(repr=False)
    relay: Relay | None = None
    sender: str | None = None
    docs: Path | None = None
    rates: dict[str, str] = field(default_factory=dict)


def create(
    settings: Settings,
    database: Database,
    clock: Callable[[], float],
    embed: meaning.Embed = meaning.embed,
) -> FastAPI:
    """The application.

    Args:
        clock: seconds since 1970.
        embed: makes vectors of texts.

    Raises:
        DataError: a card cannot be read.
        InputError: the sender is no address.
    """
    app = FastAPI(
        title="parsimony papers", version=parsimony.__version__, docs_url=None, redoc_url=None,
        openapi_url=None,
    )  # fmt: skip
    security.protect(app, settings.base_url)
    Site(app, settings, database, clock, embed)
    return app


class Site:
    """The routes of one application and what they share."""

    def __init__(
        self, app: FastAPI, settings: Settings, database: Database,
        clock: Callable[[], float], embed: meaning.Embed,
    ) -> None:  # fmt: skip
        self.settings, self.database = settings, database
        self._clock = clock
        self.sender = letters.Sender.of(settings.sender, settings.base_url)
        self.rates = Rates(settings.rates)
        self.forms = Forms(settings.secret, settings.base_url.startswith("https://"))
        self.live = Live(database, clock, mail=settings.relay is not None)
        self.shelves = Shelves(database, clock, lambda: Shelf(settings.docs, self.live, embed))
        self.shelves.newest()  # what is wrong with a card is said at the start
        self._routes(app)

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self._clock())

    def _routes(self, app: FastAPI) -> None:
        get, post = app.get, app.post
        get("/")(self.home)
        get("/index.html")(self.home)
        get("/red.html")(self.red)
        get("/areas/index.html")(self.areas)
        get("/areas/{name}.html")(self.area)
        get("/papers/{slug}.html")(self.paper)
        get("/papers/{slug}.json")(self.paper_json)
        get("/docs/index.html")(self.guide_list)
        get("/docs/{name}.html")(self.guide)
        get("/docs/figures/{name}")(self.picture)
        get("/index.json")(self.index)
        get("/feed.xml")(self.atom)
        get("/assets/{name}")(self.asset)
        get("/search")(self.search)
        get("/search.json")(self.search_json)
        get("/health")(self.health)
        post("/papers/{slug}/vote")(self.vote)
        get("/subscribe")(self.subscribe_form)
        post("/subscribe")(self.subscribe)
        for purpose in ("confirm", "unsubscribe"):
            get(f"/{purpose}", name=purpose)(self.link)
        post("/confirm")(self.confirm)
        post("/unsubscribe")(self.unsubscribe)
        get("/propose")(self.propose_form)
        post("/propose")(self.propose)
        app.exception_handler(StarletteHTTPException)(self._http_error)
        app.exception_handler(RequestValidationError)(self._invalid)
        app.exception_handler(InputError)(self._input_error)

    # Pages of the static site

    def home(self, request: Request) -> Response:
        """Every paper."""
        return self._page(request, lambda shelf: shelf.pages.home())

    def red(self, request: Request) -> Response:
        """What does not hold."""
        return self._page(request, lambda shelf: shelf.pages.red())

    def areas(self, request: Request) -> Response:
        """Every area."""
        return self._page(request, lambda shelf: shelf.pages.areas())

    def area(self, request: Request, name: str) -> Response:
        """One area."""
        self._known(name, self.shelves.newest().catalogue.areas)
        return self._page(request, lambda shelf: shelf.pages.area(name))

    def paper(self, request: Request, slug: str) -> Response:
        """One paper."""
        self._known(slug, self.shelves.newest().catalogue.by_slug)
        return self._page(request, lambda shelf: shelf.paper(slug))

    def guide_list(self, request: Request) -> Response:
        """Every guide."""
        return self._page(request, lambda shelf: shelf.pages.guide_list())

    def guide(self, request: Request, name: str) -> Response:
        """One guide."""
        self._known(name, self.shelves.newest().guides)
        return self._page(request, lambda shelf: shelf.pages.guide(shelf.guides[name]))

    def picture(self, request: Request, name: str) -> Response:
        """A picture of a guide."""
        self.rates.check("any", request)
        pictures = {p for guide in self.shelves.newest().guides.values() for p in guide.pictures}
        if self.settings.docs is None:
            raise HTTPException(404)
        self._known(f"figures/{name}", pictures)
        return _file(self.settings.docs / "figures" / name)

    # Data

    def index(self, request: Request) -> Response:
        """Every paper as JSON."""
        self.rates.check("any", request)
        papers = self.shelves.newest().catalogue.papers
        counted = self.live.votes
        return JSONResponse(
            {"papers": [{**p.as_dict(), "votes": counted.get(p.slug, 0)} for p in papers]}
        )

    def paper_json(self, request: Request, slug: str) -> Response:
        """One paper as JSON."""
        self.rates.check("any", request)
        shelf = self.shelves.newest()
        self._known(slug, shelf.catalogue.by_slug)
        document = build.document(shelf.catalogue.by_slug[slug], shelf.near[slug])
        return JSONResponse({**document, "votes": self.live.votes.get(slug, 0)})

    def atom(self, request: Request) -> Response:
        """The Atom feed."""
        self.rates.check("any", request)
        text = feed.atom(self.shelves.newest().catalogue, f"{self.settings.base_url}/")
        return Response(text, media_type="application/atom+xml")

    def asset(self, request: Request, name: str) -> Response:
        """A style sheet or a script."""
        self.rates.check("any", request)
        if name == "index.js":
            text = search.script(self.shelves.newest().catalogue, SHOWN)
            return Response(text, media_type="text/javascript")
        files = {file.name: file for file in ASSETS}
        self._known(name, files)
        more = {"site.css": "live.css", "table.js": "live.js"}.get(name)
        return _file(files[name], *([_HERE / more] if more else []))

    def health(self) -> Response:
        """For whatever watches the server."""
        try:
            with self.database.session() as session:
                session.execute(select(1))
        except SQLAlchemyError:
            raise HTTPException(503, "The database does not answer.") from None
        return JSONResponse({"papers": len(self.shelves.newest().catalogue.papers), "ok": True})

    # Search

    def search(self, request: Request, q: Annotated[str, _QUERY] = "") -> Response:
        """Papers by meaning and words, as a page."""
        self.rates.check("search", request)
        found = self.shelves.newest().find(q)
        return self._page(
            request, lambda shelf: shelf.pages.page("search", root="", query=q, papers=found)
        )

    def search_json(self, request: Request, q: Annotated[str, _QUERY]) -> Response:
        """The same as JSON."""
        self.rates.check("search", request)
        found = self.shelves.newest().find(q)
        return JSONResponse({"query": q, "papers": [paper.as_dict() for paper in found]})

    # Votes

    def vote(
        self, request: Request, slug: str, form: Annotated[str, Form(max_length=400)] = "",
        back: Annotated[str, Form(pattern="^(home|paper)$")] = "paper",
    ) -> Response:  # fmt: skip
        """Count a vote, once for each reader and paper."""
        self.rates.check("vote", request)
        self.forms.check(request, form)
        self._known(slug, self.shelves.newest().catalogue.by_slug)
        votes.cast(self.database, slug, self._reader(request), self.now)
        self.live.count()
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"votes": self.live.votes[slug]})
        to = f"/papers/{slug}.html" if back != "home" else "/index.html"
        return RedirectResponse(to, 303)

    # Subscription

    def subscribe_form(self, request: Request) -> Response:
        """The form for a mail address."""
        return self._page(
            request, lambda shelf: shelf.pages.page("subscribe", root="", problem="", address="")
        )

    def subscribe(
        self, request: Request, later: BackgroundTasks,
        address: Annotated[str, Form(max_length=LONGEST)],
        form: Annotated[str, Form(max_length=400)] = "",
    ) -> Response:  # fmt: skip
        """Ask an address by mail whether it wants the digest."""
        self.rates.check("subscribe", request)
        self.forms.check(request, form)
        if self.settings.relay is None:
            raise HTTPException(503, "This server sends no mail; use the feed.")
        try:
            address = check_address(address)
        except InputError as error:
            problem = str(error.rule)
            return self._page(
                request,
                lambda shelf: shelf.pages.page(
                    "subscribe", root="", problem=problem, address=address
                ),
                status=422,
            )
        # The answer and its time are the same whatever is known of the address.
        later.add_task(self._ask, address)
        return self._said(
            request, "Look into your mail",
            "If this address is not subscribed yet, it gets a letter now. The button on the page "
            "that its link opens starts the subscription. The link works for two days.",
        )  # fmt: skip

    def link(self, request: Request, token: Annotated[str, _TOKEN]) -> Response:
        """The page with a button that a link in a letter opens."""
        self.rates.check("link", request)
        purpose = request.scope["route"].name
        if not subscribers.known(self.database, purpose, token, self.now):
            raise HTTPException(404, "This link is too old, or was used.")
        return self._page(request, lambda shelf: shelf.pages.page(purpose, root="", token=token))

    def confirm(self, request: Request, token: Annotated[str, _TOKEN]) -> Response:
        """Start a subscription."""
        self.rates.check("link", request)
        if not subscribers.confirm(self.database, token, self.now):
            raise HTTPException(404, "This link is too old, or was used.")
        return self._said(request, "You are subscribed", "Every letter has a link that ends it.")

    def unsubscribe(self, request: Request, token: Annotated[str, _TOKEN]) -> Response:
        """End a subscription, by our button or by a mail program for its user (RFC 8058)."""
        # Few machines of a mail provider do this for many readers; tokens cannot be guessed.
        self.rates.check("any", request)
        if not subscribers.unsubscribe(self.database, token, self.now):
            raise HTTPException(404, "This link is too old, or was used.")
        return self._said(request, "You are unsubscribed", "Your address is forgotten.")

    def _ask(self, address: str) -> None:
        """Send the confirmation; what goes wrong is noted without the address."""
        relay = self.settings.relay
        if relay is None or not self.rates.allows("address", address.lower()):
            return
        try:
            token = subscribers.subscribe(self.database, address, self.now)
            if token is None:
                return
            letter = letters.confirmation(self.sender, address, token, self.now)
            with Post(relay, self.sender.address.addr_spec) as post:
                post.send(address, letter, lambda: True)
        except (RefusedError, UnfinishedError, UnknownError) as error:
            LOG.warning("a confirmation was not sent: %s", error)
        except (ParsimonyError, SQLAlchemyError, smtplib.SMTPException) as error:
            LOG.warning("a confirmation was not sent: %s", type(error).__name__)

    # Proposals

    def propose_form(self, request: Request) -> Response:
        """The form for a paper."""
        return self._proposing(request, "", {}, 200)

    def propose(
        self, request: Request,
        title: Annotated[str, Form(max_length=proposals.LONGEST["title"])],
        link: Annotated[str, Form(max_length=proposals.LONGEST["link"])],
        note: Annotated[str, Form(max_length=proposals.LONGEST["note"])] = "",
        form: Annotated[str, Form(max_length=400)] = "",
    ) -> Response:  # fmt: skip
        """Hold a paper for a maintainer."""
        self.rates.check("propose", request)
        self.forms.check(request, form)
        try:
            proposals.propose(self.database, title, link, note, self.now)
        except InputError as error:
            given = {"title": title, "link": link, "note": note}
            return self._proposing(request, str(error.rule), given, 422)
        except proposals.FullError:
            raise HTTPException(503, "Too many proposals wait for an answer.") from None
        return self._said(
            request, "Thank you", "The paper is shown once a maintainer has looked at it."
        )

    def _proposing(
        self, request: Request, problem: str, given: dict[str, str], status: int
    ) -> Response:
        return self._page(
            request,
            lambda shelf: shelf.pages.page("propose", root="", problem=problem, given=given),
            status,
        )

    # What the routes share

    def _page(
        self, request: Request, make: Callable[[Shelf], str], status: int = 200,
        headers: dict[str, str] | None = None, counted: bool = True,
    ) -> Response:  # fmt: skip
        """A page for this visitor, who gets a name if there is none."""
        if counted:
            self.rates.check("any", request)
        known = self.forms.visitor(request)
        visitor = known or self.forms.name()
        before = READER.set(Reader(self.forms.token(visitor), self._voted(request)))
        try:
            text = make(self.shelves.newest())
        finally:
            READER.reset(before)
        response = HTMLResponse(text, status, headers)
        response.headers["cache-control"] = "private, no-cache"
        if known is None:
            self.forms.keep(response, visitor)
        return response

    def _said(self, request: Request, title: str, text: str) -> Response:
        return self._page(
            request, lambda shelf: shelf.pages.page("message", root="/", title=title, text=text)
        )

    def _reader(self, request: Request) -> str:
        return tokens.keyed(self.settings.secret, "reader", security.client(request))

    def _voted(self, request: Request) -> frozenset[str]:
        with self.database.session() as session:
            query = select(Vote.slug).where(Vote.reader == self._reader(request))
            return frozenset(session.scalars(query))

    @staticmethod
    def _known(name: str, names: Any) -> None:
        if name not in names:
            raise HTTPException(404)

    def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        said = str(error.detail)
        title = _TITLES.get(error.status_code, said)
        text = said if said != _reason(error.status_code) else ""
        return self._failed(request, error.status_code, title, text, error.headers)

    def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # What was sent is not repeated.
        names = sorted({str(problem["loc"][-1]) for problem in error.errors()})
        return self._failed(request, 422, _TITLES[422], f"Look at: {', '.join(names)}.", None)

    def _input_error(self, request: Request, error: Exception) -> Response:
        return self._failed(request, 422, _TITLES[422], str(error), None)

    def _failed(
        self, request: Request, status: int, title: str, text: str, headers: Any
    ) -> Response:
        if request.url.path.endswith(".json") or "application/json" in request.headers.get(
            "accept", ""
        ):
            return JSONResponse({"error": text or title}, status, headers)
        return self._page(
            request,
            lambda shelf: shelf.pages.page("message", root="/", title=title, text=text),
            status, dict(headers or {}), counted=False,
        )  # fmt: skip


def _reason(status: int) -> str:
    from http import HTTPStatus

    return HTTPStatus(status).phrase


def _file(*files: Path) -> Response:
    """One file, or several as one."""
    kind = mimetypes.guess_type(files[0].name)[0] or "application/octet-stream"
    return Response(
        b"".join(file.read_bytes() for file in files), media_type=kind,
        headers={"cache-control": "no-cache"},
    )  # fmt: skip
