"""What the pages say, as frozen records: cards and recorded results alone, and no HTML.

``read`` gives the catalogue that the static site and a server show. Everything the pages count,
order or quote is computed here, once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from parsimony.core.errors import DataError
from parsimony.papers import catalogue, record
from parsimony.papers.catalogue import Card
from parsimony.papers.claim import LEVELS, Claim, Level
from parsimony.papers.record import Result, Standing, State
from parsimony.papers.site import words

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ARXIV = re.compile(r"(\d\d)(0[1-9]|1[0-2])\.\d{4,5}")
_METHODS = Path(__file__).parents[2] / "adapt/methods"
WORST_FIRST: tuple[State, ...] = ("red", "stale", "not yet", "green")
"""The order of the states where what needs a look comes first."""


@dataclass(frozen=True)
class Outcome:
    """One claim and what its runs found.

    Attributes:
        claim: the promise.
        state: of the newest result, ``not yet`` without any.
        results: all of them, newest last.
        changed: the card changed since the newest one.
    """

    claim: Claim
    state: State
    results: tuple[Result, ...]
    changed: bool

    @property
    def last(self) -> Result | None:
        """The newest result."""
        return self.results[-1] if self.results else None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, with every result."""
        literal = {f.name: getattr(self.claim, f.name) for f in fields(Claim) if f.name != "run"}
        return {
            **literal,
            "state": self.state,
            "changed_since": self.changed,
            "results": [result.as_dict() for result in self.results],
        }


@dataclass(frozen=True)
class Command:
    """Something to type.

    Attributes:
        does: what for, a sentence.
        text: the line.
    """

    does: str
    text: str


@dataclass(frozen=True)
class Paper:
    """A paper as its page shows it.

    Attributes:
        card: the metadata.
        standing: over all claims.
        levels: over the claims of each level.
        outcomes: claim by claim, in the card's order.
    """

    card: Card
    standing: Standing
    levels: dict[Level, Standing]
    outcomes: tuple[Outcome, ...]

    @property
    def slug(self) -> str:
        """Its name here, fit for an address."""
        return self.card.slug

    @cached_property
    def date(self) -> str:
        """``YYYY-MM`` of the first version on arXiv, else the year."""
        found = _ARXIV.fullmatch(self.card.arxiv or "")
        return f"20{found[1]}-{found[2]}" if found else str(self.card.year)

    @property
    def order(self) -> tuple[str, str, str]:
        """What the newest paper has the largest of; the identifier tells days apart."""
        return self.date, self.card.arxiv or "", self.slug

    @cached_property
    def last_run(self) -> str | None:
        """When the newest result of any claim was recorded, UTC, ISO 8601."""
        return max((r.date for o in self.outcomes for r in o.results), default=None)

    @property
    def red(self) -> tuple[Outcome, ...]:
        """The claims whose newest result does not hold."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "red")

    @cached_property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Name and address of the paper itself and of its official code."""
        found = [
            (f"arXiv {self.card.arxiv}", f"https://arxiv.org/abs/{quote(self.card.arxiv or '')}")
        ]
        code = [(name, f"https://github.com/{quote(name)}") for name in self.card.official_code]
        return tuple((found if self.card.arxiv else []) + code)

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """How to run its claims, level by level, and its method where ``adapt`` has it by name."""
        return (*_reproduce(self), *_adapt(self.card.mechanism))

    @cached_property
    def deviations(self) -> tuple[str, ...]:
        """Where what runs here is not what the paper reports, in sentences."""
        return tuple(words.deviations(self.outcomes))

    @cached_property
    def bibtex(self) -> str:
        """An entry for a bibliography."""
        return words.bibtex(self.card, self.date)

    @cached_property
    def meaning(self) -> str:
        """The text that is embedded, to find papers by what they are about."""
        return f"{self.card.title}. {self.card.summary}"

    def searched(self) -> dict[str, str]:
        """What a search looks at, from what weighs most to what weighs least."""
        card = self.card
        runs = [o.last.note for o in self.outcomes if o.last is not None]
        return {
            "title": f"{card.title} {card.slug}",
            "summary": f"{card.summary} {' '.join(card.areas)}",
            "names": " ".join(
                filter(None, [*(card.authors or ()), card.mechanism, card.venue, card.arxiv,
                              *card.official_code, str(card.year)])
            ),
            "claims": " ".join([*(o.claim.statement for o in self.outcomes), *runs]),
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, without claims."""
        return {
            **self.card.as_dict(),
            "date": self.date,
            "state": self.standing.state,
            "standing": asdict(self.standing),
            "levels": {level: asdict(standing) for level, standing in self.levels.items()},
            "last_run": self.last_run,
            "links": [address for _, address in self.links],
            "page": f"papers/{self.slug}.html",
        }


@dataclass(frozen=True)
class Catalogue:
    """Every paper, newest first."""

    papers: tuple[Paper, ...]

    @cached_property
    def by_slug(self) -> dict[str, Paper]:
        """The papers by name."""
        return {paper.slug: paper for paper in self.papers}

    @cached_property
    def areas(self) -> dict[str, tuple[Paper, ...]]:
        """The papers of each area, newest first; areas by name."""
        found: dict[str, list[Paper]] = {}
        for paper in self.papers:
            for area in paper.card.areas:
                found.setdefault(area, []).append(paper)
        return {area: tuple(found[area]) for area in sorted(found)}

    @property
    def states(self) -> dict[State, int]:
        """How many papers there are in each state, in the order of ``WORST_FIRST``."""
        return {
            state: sum(paper.standing.state == state for paper in self.papers)
            for state in WORST_FIRST
        }

    @property
    def totals(self) -> Standing:
        """Claims over all papers; the state is the worst of any."""
        standings = [paper.standing for paper in self.papers]
        worst = min((s.state for s in standings), key=WORST_FIRST.index, default="not yet")
        return Standing(
            state=worst,
            claims=sum(s.claims for s in standings),
            run=sum(s.run for s in standings),
            passed=sum(s.passed for s in standings),
        )

    @property
    def red(self) -> tuple[Paper, ...]:
        """The papers with a claim that does not hold, most of them first."""
        red = [paper for paper in self.papers if paper.red]
        return tuple(sorted(red, key=lambda paper: (-len(paper.red), paper.slug)))

    @property
    def last_run(self) -> str | None:
        """When the newest result of any paper was recorded."""
        return max((p.last_run for p in self.papers if p.last_run), default=None)


def read(folder: Path | None = None, results: Path | None = None) -> Catalogue:
    """The catalogue of a folder of cards and a folder of results, the package's own by default.

    Raises:
        DataError: a file is not a card, or a name in it cannot be part of an address.
        ArtifactError: a record cannot be read.
    """
    found = [paper(card, record.history(card.slug, results)) for card in catalogue.cards(folder)]
    return Catalogue(tuple(sorted(found, key=lambda one: one.order, reverse=True)))


def paper(card: Card, history: Mapping[str, list[Result]]) -> Paper:
    """One card with the results of its claims, newest last.

    Raises:
        DataError: its slug or an area cannot be part of an address.
    """
    for name in (card.slug, *card.areas):
        if not _NAME.fullmatch(name):
            raise DataError(
                "a slug and an area are lower-case words joined by hyphens", file=card.slug,
                got=name,
            )  # fmt: skip
    latest = {c.name: history[c.name][-1] for c in card.claims if history.get(c.name)}
    return Paper(
        card=card,
        standing=record.stand(card, card.claims, latest),
        levels=record.by_level(card, latest),
        outcomes=tuple(_outcome(card, c, history.get(c.name) or []) for c in card.claims),
    )


def _outcome(card: Card, claim: Claim, results: list[Result]) -> Outcome:
    return Outcome(
        claim=claim,
        state=record.state_of(card, results[-1:]),
        results=tuple(results),
        changed=bool(results) and results[-1].fingerprint != card.fingerprint,
    )


def _reproduce(paper: Paper) -> list[Command]:
    found, took = [], 0.0
    known = True  # how long every claim up to this level takes
    for level in LEVELS:
        outcomes = [o for o in paper.outcomes if o.claim.level == level]
        if not outcomes:
            continue
        took += sum(o.last.seconds for o in outcomes if o.last)
        known = known and all(o.last for o in outcomes)
        lasted = f"took {words.duration(took)} at the last run" if known else "not all run so far"
        need = {"exact": "closed forms", "cpu": "on a laptop", "gpu": "with a GPU"}[level]
        found.append(
            Command(
                f"Check its claims, {need}: {lasted}.",
                record.reproduce_command(paper.slug, level),
            )
        )
    return found


def _adapt(mechanism: str) -> list[Command]:
    # A method of adapt is a file, or a folder, of its name.
    methods = {file.stem for file in _METHODS.glob("[a-z]*")}
    named = [n for n in re.findall(r"\badapt[/:] ?(\w+)", mechanism) if n in methods]
    return [
        Command(
            f"Try the method, {name.replace('_', '-')}, on the built-in model and data.",
            f"parsimony adapt minilm stdlib-docs --methods {name.replace('_', '-')} "
            '--budget "trainable=1%, time=10min"',
        )
        for name in named
    ]
