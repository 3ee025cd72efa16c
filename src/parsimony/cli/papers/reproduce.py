"""``parsimony papers reproduce``: run the claims of a paper, or of all, and judge each.

Exits with 0 when every claim it ran is green, or when the card has no claims yet ('not yet'); with
1 when a claim is red; with 2 when the request itself is at fault. Over all papers it exits with 1
when a claim is red that held in the record before, or that had never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.papers import claim_json, claims_table
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.core.console import Console
    from parsimony.papers import Card, Claim
    from parsimony.papers.claim import Level
    from parsimony.papers.record import Result
    from parsimony.papers.reproducing import Request


def command(
    context: typer.Context,
    slug: Annotated[
        str | None,
        typer.Argument(
            help="Name of the paper, as 'parsimony papers list' prints.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Run every paper, the cheapest claims first.")
    ] = False,
    level: Annotated[
        str, typer.Option("--level", help="Run claims up to this level: exact, cpu or gpu.")
    ] = "exact",
    record: Annotated[
        bool,
        typer.Option(
            "--record/--no-record",
            help="Add the results to the record that 'list' and 'show' read.",
        ),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help='Such as "time=60min"; with --all.', show_default=False),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="local or ray; with --all.")] = "local",
    workers: Annotated[
        int, typer.Option("--workers", help="Processes side by side; with --all.")
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Of a running Ray cluster.", show_default=False),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", help="Markdown file to write; with --all.", show_default=False),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = None,
    json: options.Json = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the claims of one paper, or of all, and judge each. Exits with 1 when a claim is red."""
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.papers import card

    console = Console(quiet)
    if resume is not None:
        options.refuse_changes(context)
        _show(*_run(None, resume, console), json=json, quiet=quiet)
        return
    if every is (slug is not None):
        raise InputError(
            "reproduce takes one paper, or --all", got=slug or "neither",
            hint="'parsimony papers list' names them",
        )  # fmt: skip
    if not every:
        alone = ("budget", "engine", "workers", "address", "summary", "out")
        given = options.given(context)
        if wrong := [given[name] for name in alone if name in given]:
            raise InputError(f"{wrong[0]} goes with --all", got=slug)
        _one(card(str(slug)), level, record, console, json=json, dry_run=dry_run)
        return
    from parsimony.core.run import new_folder
    from parsimony.papers.reproducing import Request

    request = Request(
        level=_reachable(level),
        time=_seconds(budget),
        engine=engine,
        workers=workers,
        address=address,
        record=record,
        summary=None if summary is None else str(summary.resolve()),
    )
    if dry_run:
        _preview(request, json)
        return
    folder = out or new_folder(Path("runs"), f"reproduce-{level}")
    _show(*_run(request, folder, console), json=json, quiet=quiet)


def _one(
    paper: Card, level: str, record: bool, console: Console, *, json: bool, dry_run: bool
) -> None:
    """Run one paper here, in this process."""
    from parsimony.cli.main import emit
    from parsimony.papers import record as records
    from parsimony.papers.tables import MissingTableError

    slug = paper.slug
    claims = _chosen(paper, level)
    if record and claims:
        records.check_writable()
    if dry_run or not claims:
        _announce(paper, claims, level, json)
        return
    results: dict[str, Result] = {}
    absent: dict[str, str] = {}
    with console.phase(f"{slug}: running {claims_of(level, claims)}", len(claims)) as phase:
        for claim in claims:
            phase.advance()
            try:
                result = records.execute(
                    paper, claim, records.reproduce_command(slug, level, record)
                )
            except MissingTableError as error:
                absent[str(error)] = f"{absent.get(str(error), '')} {claim.name}"
                continue
            if record:
                records.append(slug, result)
            results[claim.name] = result
    for reason, names in absent.items():
        console.say(f"Not run:{names}: {reason}")
    failed = sum(not r.passed for r in results.values())
    state = "red" if failed else "green" if results else "not yet"
    if json:
        shown = [claim_json(c, results[c.name]) for c in claims if c.name in results]
        emit({"slug": slug, "level": level, "state": state, "recorded": record, "claims": shown})
    else:
        claims_table(paper, results, heading=not console.quiet)
        kept = "recorded" if record else "not recorded; add --record to keep it"
        print(f"{slug}: {state}, {len(results) - failed} of {len(results)} claims hold ({kept})")
    if failed:
        raise typer.Exit(1)


def _reachable(level: str) -> Level:
    """The level, which this machine must be able to run.

    Raises:
        InputError: no such level; no GPU for it.
    """
    from parsimony.core.errors import InputError, nearest, require
    from parsimony.papers.claim import LEVELS

    if level not in LEVELS:
        raise InputError(f"unknown level '{level}'", hint=nearest(level, LEVELS))
    if level == "gpu" and not require("torch", "adapt").cuda.is_available():
        raise InputError(
            "level 'gpu' needs a CUDA device, and torch sees none",
            hint="Run it with --level cpu here, or on a machine with a GPU",
        )
    return LEVELS[LEVELS.index(level)]


def _chosen(paper: Card, level: str) -> Sequence[Claim]:
    """The claims up to ``level``; refuses a level that this machine cannot run."""
    from parsimony.papers.claim import LEVELS

    highest = _reachable(level) if paper.claims or level not in LEVELS else level
    reach = LEVELS[: [*LEVELS].index(highest) + 1]
    return [c for c in paper.claims if c.level in reach]


def _seconds(budget: str | None) -> float | None:
    """The time of a budget; every other limit is refused."""
    from dataclasses import asdict

    from parsimony.core.budget import Budget
    from parsimony.core.errors import InputError

    if budget is None:
        return None
    limits = {name: value for name, value in asdict(Budget.parse(budget)).items() if value}
    if set(limits) != {"time"}:
        raise InputError("reproduce keeps a limit of time alone", got=budget, hint='"time=60min"')
    return float(limits["time"])


def _preview(request: Request, json: bool) -> None:
    """Say what would run and for how long, by what each claim took last."""
    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.papers import cards
    from parsimony.papers.reproducing import GUESS, fits, plan

    jobs = plan(cards(), request.level, {})
    limit = None if request.time is None else request.time * request.workers
    inside, outside = fits(jobs, limit)
    guessed = [f"{job.slug}:{name}" for job in jobs for name in job.guessed]
    seconds = {f"{job.slug}:{name}": s for job in jobs for name, s in job.seconds.items()}
    if json:
        emit({"run": inside, "left": outside, "guessed": guessed, "seconds": seconds})
        return
    rows = [
        (job.slug, job.level, str(len(job.seconds)), str(len(job.guessed)),
         units.format_seconds(job.total))
        for job in jobs
    ]  # fmt: skip
    table(("paper", "level", "claims", "never run", "takes about"), rows)
    total = units.format_seconds(sum(seconds[name] for name in inside))
    print(f"Would run {len(inside)} claims in about {total}; {len(outside)} would be left")
    if guessed:
        rate = ", ".join(f"{level} {units.format_seconds(s)}" for level, s in GUESS.items())
        print(f"A claim that never ran counts by its level: {rate}")


def _run(request: Request | None, folder: Path, console: Console) -> tuple[dict[str, Any], Path]:
    """Start the run, or go on with it; its summary and folder."""
    from parsimony.cli.main import resumable
    from parsimony.papers import reproducing

    with resumable(folder, f"parsimony papers reproduce --resume {folder}"):
        if request is None:
            return reproducing.resume(folder, console), folder
        return reproducing.reproduce(request, folder, console), folder


def _show(said: dict[str, Any], folder: Path, *, json: bool, quiet: bool) -> None:
    """Print the summary; exits with 1 when something is newly red."""
    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.papers.summary import sentence

    if json:
        emit({**said, "folder": str(folder)})
    else:
        rows = []
        for p in (p for p in said["papers"] if p["claims"]):
            hold, took = f"{p['passed']}/{p['run']}", units.format_seconds(p["seconds"])
            ran = (hold, str(p["claims"]), took) if p["run"] else ("", str(p["claims"]), "")
            rows.append((p["slug"], p["state"], *ran))
        table(("paper", "state", "hold", "claims", "took"), rows, heading=not quiet)
        for miss in said["red"]:
            if miss["new"]:
                print(f"newly red: {miss['slug']}:{miss['claim']}: {miss['statement']}")
        print(sentence(said))
        if said["left"] and not quiet:
            print(f"Go on with: parsimony papers reproduce --resume {folder}")
    if any(miss["new"] for miss in said["red"]):
        raise typer.Exit(1)


def _announce(paper: Card, claims: Sequence[Claim], level: str, json: bool) -> None:
    """Say what would run, or that there is nothing to run yet; spends nothing."""
    from parsimony.cli.main import emit
    from parsimony.papers.record import newest

    latest = newest(paper)
    if json:
        planned = [claim_json(c, latest.get(c.name)) for c in claims]
        state = "planned" if claims else "not yet"
        emit({"slug": paper.slug, "level": level, "state": state, "claims": planned})
        return
    if not claims:
        lacks = f"no claims up to level '{level}'" if paper.claims else "no claims"
        print(f"{paper.slug}: not yet, the card has {lacks}")
        return
    print(f"{paper.slug}: would run {claims_of(level, claims)}")
    for c in claims:
        took = f"took {latest[c.name].seconds:.3g} s last" if c.name in latest else "never run"
        print(f"  {c.name} ({c.level}, {took})")


def claims_of(level: str, claims: Sequence[Claim]) -> str:
    return f"{len(claims)} claim{'s' if len(claims) != 1 else ''} up to level '{level}'"
