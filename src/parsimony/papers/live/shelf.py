"""The catalogue as the server shows it: read once, and again when a card or a result changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parsimony.core import artifacts
from parsimony.core.errors import ParsimonyError
from parsimony.papers import catalogue, own, record
from parsimony.papers.live import news, votes
from parsimony.papers.live.database import Database
from parsimony.papers.live.search import Search
from parsimony.papers.site import content, guides, meaning
from parsimony.papers.site.content import Catalogue, Paper
from parsimony.papers.site.render import Renderer
from parsimony.papers.site.search import FIELDS

TEMPLATES = Path(__file__).parent / "templates"
LOG = logging.getLogger("parsimony.papers")
_FRESH = 30  # seconds that votes counted by other processes may go unseen


@dataclass(frozen=True)
class Reader:
    """Who a page is made for: the token of its forms, and the papers voted for."""

    form: str
    voted: frozenset[str]


READER: ContextVar[Reader] = ContextVar("reader")
"""Set around the making of a page."""


class Live:
    """What the templates know as ``live``: votes, and the reader of this very page."""

    def __init__(self, database: Database, clock: Callable[[], float], mail: bool) -> None:
        self._database, self._clock, self.mail = database, clock, mail
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._votes: dict[str, int] = {}
        self._heat: dict[str, float] = {}

    def count(self) -> None:
        """Let the votes be counted anew."""
        with self._lock:
            self._until = float("-inf")

    def _fresh(self) -> None:
        now = self._clock()
        with self._lock:
            if now >= self._until:
                self._votes = votes.counts(self._database)
                self._heat = votes.trending(self._database, int(now))
                self._until = now + _FRESH

    @property
    def votes(self) -> dict[str, int]:
        """By paper."""
        self._fresh()
        return self._votes

    @property
    def heat(self) -> dict[str, float]:
        """The score that trending papers are ordered by."""
        self._fresh()
        return self._heat

    @property
    def form(self) -> str:
        """The token of this page's forms."""
        return READER.get().form

    @property
    def voted(self) -> frozenset[str]:
        """The papers that this reader voted for."""
        return READER.get().voted


class Shelf:
    """One reading of the catalogue, with its pages and its search.

    Args:
        docs: folder of the guides, where there are any.
        live: for the templates.
        embed: makes vectors; see ``meaning``.
    """

    def __init__(self, docs: Path | None, live: Live, embed: meaning.Embed) -> None:
        self.catalogue: Catalogue = content.read()
        papers = self.catalogue.papers
        texts = {paper.slug: paper.meaning for paper in papers}
        kept = artifacts.cache() / f"papers-{meaning.FILE}"
        vectors = meaning.vectors(texts, kept, embed)
        artifacts.write_bytes(kept, meaning.dump(texts, vectors, embed))
        slugs = list(texts)
        self.near = {
            slug: [slugs[other] for other in row]
            for slug, row in zip(slugs, meaning.related(vectors), strict=True)
        }
        areas = {*self.catalogue.areas, "papers"} - {"core"}
        self.guides = {guide.name: guide for guide in (guides.read(docs, areas) if docs else ())}
        self.pages = Renderer(
            self.catalogue, tuple(self.guides.values()), self.near, [TEMPLATES], live
        )
        self._drawing = threading.Lock()
        rows = ([paper.searched()[field] for field in FIELDS] for paper in papers)
        self._search = Search(rows, vectors, lambda query: np.float32(embed([query])[0]))

    def paper(self, slug: str) -> str:
        """The page of one paper. matplotlib, which draws its figure once, is not for threads."""
        with self._drawing:
            return self.pages.paper(self.catalogue.by_slug[slug])

    def find(self, query: str) -> list[Paper]:
        """The papers a query is about, best first."""
        return [self.catalogue.papers[place] for place in self._search.find(query)]


class Shelves:
    """Gives the newest shelf; makes a new one when a file of a card or of a result changed.

    Args:
        database: remembers which papers are new.
        make: makes a shelf.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], make: Callable[[], Shelf]
    ) -> None:
        self._database, self._clock, self._make = database, clock, make
        self._lock = threading.Lock()
        self._state: object = None
        self._shelf: Shelf | None = None

    def newest(self) -> Shelf:
        """The shelf of the files as they are now."""
        with self._lock:
            state = _state()
            if self._shelf is None or state != self._state:
                self._state = state
                self._shelf = self._made(self._shelf)
                cards = [paper.card for paper in self._shelf.catalogue.papers]
                news.note(self._database, cards, int(self._clock()))
            return self._shelf

    def _made(self, before: Shelf | None) -> Shelf:
        """A new shelf; the one before when a file that changed is not as it must be."""
        try:
            return self._make()
        except ParsimonyError as error:
            if before is None:
                raise
            LOG.warning("the catalogue is shown as it was: %s", error)
            return before


def _state() -> list[tuple[str, int, int]]:
    """Name, time and size of every file that the catalogue is read from."""
    folders = (catalogue.CARDS, own.folder(), record.RESULTS)
    files = (f for folder in folders if folder for f in folder.glob("*.*"))
    return sorted((str(f), s.st_mtime_ns, s.st_size) for f in files for s in [f.stat()])
