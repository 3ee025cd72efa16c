"""Runs the claims of all papers, the cheapest first, as far as the time goes; resumable.

A job is the claims of one paper at one level, in one process, since they share what is costly. What
it finds is written claim by claim into the run folder: ``results/<level>/<slug>.json``, as the
record keeps them. A run that was stopped goes on with the claims that have no result there yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parsimony.core import artifacts, headlines, workers
from parsimony.core.console import Console
from parsimony.core.errors import InputError, MissingExtraError
from parsimony.core.headlines import Headline
from parsimony.core.run import Run, provenance
from parsimony.papers import catalogue, record
from parsimony.papers.catalogue import Card
from parsimony.papers.claim import LEVELS, Claim, Level
from parsimony.papers.record import Result
from parsimony.papers.tables import MissingTableError

GUESS: dict[Level, float] = {"exact": 5.0, "cpu": 300.0, "gpu": 1800.0}
"""Seconds that a claim is taken to need before it has ever run, by its level."""

_WORK = "parsimony.papers.reproducing:work"


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes:
        level: claims up to this one.
        time: seconds from the start of each call; ``None`` for no limit. A claim that runs is not
            cut short; none begins that would not fit by what it took last.
        engine: ``"local"`` or ``"ray"``.
        workers: processes at a time.
        address: of a Ray cluster, or ``None``.
        record: whether the results also go into the record of the package.
        summary: Markdown file to write, besides the run folder's own.
    """

    level: Level = "cpu"
    time: float | None = None
    engine: str = "local"
    workers: int = 1
    address: str | None = None
    record: bool = False
    summary: str | None = None


@dataclass(frozen=True)
class Job:
    """The claims of one paper at one level, in the card's order.

    Attributes:
        slug: of the paper.
        level: of all of them.
        seconds: what each took last, or ``GUESS``, by claim.
        guessed: the claims that never ran.
    """

    slug: str
    level: Level
    seconds: dict[str, float]
    guessed: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds of them all."""
        return sum(self.seconds.values())


def plan(
    cards: Sequence[Card], level: Level, done: Mapping[str, Mapping[str, Result]]
) -> list[Job]:
    """The jobs up to a level, cheapest first.

    Args:
        cards: of the papers.
        level: the highest.
        done: newest results of this run by paper and claim; those of the same card are left out.
    """
    jobs = []
    for card in cards:
        known = record.newest(card)
        for reach in LEVELS[: LEVELS.index(level) + 1]:
            claims = [
                claim
                for claim in card.claims
                if claim.level == reach and not _fresh(card, claim, done.get(card.slug, {}))
            ]
            if claims:
                jobs.append(
                    Job(
                        card.slug,
                        reach,
                        {c.name: known[c.name].seconds if c.name in known else GUESS[reach]
                         for c in claims},
                        tuple(c.name for c in claims if c.name not in known),
                    )
                )  # fmt: skip
    return sorted(jobs, key=lambda job: (job.total, job.slug))


def _fresh(card: Card, claim: Claim, done: Mapping[str, Result]) -> bool:
    return claim.name in done and done[claim.name].fingerprint == card.fingerprint


def fits(jobs: Sequence[Job], seconds: float | None) -> tuple[list[str], list[str]]:
    """Which claims, as ``slug:claim``, one process should manage in that time, and which not."""
    inside, outside, spent = [], [], 0.0
    for job in jobs:
        for name, took in job.seconds.items():
            fit = seconds is None or spent + took <= seconds
            (inside if fit else outside).append(f"{job.slug}:{name}")
            spent += took if fit else 0.0
    return inside, outside


def reproduce(request: Request, folder: Path, console: Console) -> dict[str, Any]:
    """Run what fits, in a new folder.

    Returns:
        The summary, see ``summarise``.

    Raises:
        InputError: the folder holds something; an unknown engine; a record that cannot be written.
        MissingExtraError: the engine is not installed.
    """
    workers.engine(request.engine, request.workers, request.address)  # refuse it now, not later
    if request.record:
        record.check_writable()
    run = Run.create(folder, provenance(request, Request()), seed=0)
    run.write("before.json", {
        card.slug: {name: result.passed for name, result in record.newest(card).items()}
        for card in catalogue.cards()
    })  # fmt: skip
    return _go(request, run, console)


def resume(folder: Path, console: Console) -> dict[str, Any]:
    """Go on with the claims that have no result in the run yet, with the same time again.

    Raises:
        ArtifactError: no such run.
    """
    run = Run.open(folder)
    if not run.has("before.json"):
        raise InputError(
            "--resume needs the folder of a 'reproduce --all'", got=str(folder),
            hint="Choose another folder, or start a run with --all",
        )  # fmt: skip
    return _go(Request(**run.settings), run, console)


def _go(request: Request, run: Run, console: Console) -> dict[str, Any]:
    from parsimony.papers import summary

    with run.locked():
        started = time.time()
        cards = catalogue.cards()
        jobs = plan(cards, request.level, found(run))
        for mark in run.folder.glob("running/*"):
            mark.unlink()  # those that died have another try
        deadline = None if request.time is None else started + request.time
        sent = [
            {**asdict(job), "run": str(run.folder.resolve()), "cards": str(catalogue.CARDS),
             "deadline": deadline, "command": command(request), "units": len(job.seconds)}
            for job in jobs
        ]  # fmt: skip
        count = sum(len(job.seconds) for job in jobs)
        engine = workers.engine(request.engine, request.workers, request.address)
        try:
            with console.phase(f"Running {count} claims of {len(cards)} papers", count) as bar:
                answers = engine.map(_WORK, sent, bar.advance)
        finally:
            results = found(run)
            if request.record:
                for slug, latest in results.items():
                    record.merge(slug, list(latest.values()))
        left = [{"slug": job.slug, **answer} for job, answer in zip(jobs, answers, strict=True)]
        said = summary.summarise(
            cards, request.level, results, left, run.read("before.json"), time.time() - started
        )
        run.write("result.json", said)
        headlines.write(run.folder, "papers reproduce", f"claims up to {request.level}", [
            Headline(name=name, value=value, unit="count", reason=headlines.COUNTED)
            for name, value in summary.counts(said).items()
        ])  # fmt: skip
        text = summary.markdown(said)
        artifacts.write_text(run.folder / "summary.md", text)
        if request.summary is not None:
            artifacts.write_text(Path(request.summary), text)
        if not said["left"]:
            run.finish()
        return said


def command(request: Request) -> str:
    """What was typed, as results keep it."""
    words = ["parsimony", "papers", "reproduce", "--all", "--level", request.level]
    return " ".join([*words, "--record"] if request.record else words)


def found(run: Run) -> dict[str, dict[str, Result]]:
    """The results in a run folder, by paper and claim."""
    results: dict[str, dict[str, Result]] = {}
    for folder in _folders(run.folder):
        for file in sorted(folder.glob("*.json")):
            for name, history in record.history(file.stem, folder).items():
                results.setdefault(file.stem, {})[name] = history[-1]
    return results


def _folders(run: Path) -> Iterator[Path]:
    yield from (run / "results" / level for level in LEVELS)


def work(job: dict[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Run the claims of one job in this process; see ``core.workers``.

    Returns:
        ``left``: claims that the time had no room for; ``missing``: why a claim cannot run here,
        by claim. A claim whose process died before is among the latter.
    """
    folder = Path(job["run"]) / "results" / job["level"]
    card = catalogue.card(job["slug"], Path(job["cards"]))
    claims = {claim.name: claim for claim in card.claims}
    done = {name: results[-1] for name, results in record.history(card.slug, folder).items()}
    left: list[str] = []
    missing: dict[str, str] = {}
    for name, took in job["seconds"].items():
        progress(1)
        if _fresh(card, claims[name], done):  # by this job, before its process died
            continue
        mark = Path(job["run"]) / "running" / f"{card.slug}.{name}"
        if mark.exists():
            missing[name] = "its process died, perhaps for lack of memory"
            continue
        if job["deadline"] is not None and time.time() + took > job["deadline"]:
            left.append(name)
            continue
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(str(os.getpid()), encoding="utf-8")
        try:
            result = record.execute(card, claims[name], job["command"])
            record.append(card.slug, result, folder)
        except (MissingExtraError, MissingTableError) as error:
            missing[name] = str(error)
        mark.unlink()
    return {"level": job["level"], "left": left, "missing": missing}
