"""``parsimony papers``: what each paper promised, and what running it found.

``reproduce`` exits with 0 when every claim it ran is green, or when the card has no claims yet
('not yet'); with 1 when a claim is red; with 2 when the request itself is at fault.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.papers import Card, Claim
    from parsimony.papers.record import Result

app = typer.Typer(help="The papers behind parsimony, as cards that run.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="Name of the paper, as 'parsimony papers list' prints.")]


@app.command("list")
def list_(
    area: Annotated[
        str | None, typer.Option("--area", help="Only papers of this area.", show_default=False)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List every paper with its state: green, red, stale (the card changed since) or not yet."""
    from parsimony.cli.main import emit
    from parsimony.core.errors import InputError, nearest
    from parsimony.papers import cards
    from parsimony.papers.record import standing

    found = cards()
    areas = {a for c in found for a in c.areas}
    if area is not None and area not in areas:
        raise InputError(f"unknown area '{area}'", hint=nearest(area, areas))
    rows = [(c, standing(c)) for c in found if area is None or area in c.areas]
    if json:
        emit({"cards": [_card_json(c) for c, _ in rows]})
        return
    table(
        ("paper", "areas", "state", "claims", "title"),
        [
            (
                c.slug,
                ", ".join(c.areas),
                s.state,
                f"{s.passed}/{s.claims}" if s.claims else "",
                c.title,
            )
            for c, s in rows
        ],
        heading=not quiet,
    )


@app.command()
def show(slug: Slug, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Show one paper: what it does for a user, its claims, and the newest result of each."""
    from parsimony.cli.main import emit
    from parsimony.papers import card
    from parsimony.papers.claim import LEVELS
    from parsimony.papers.record import newest, standing

    paper = card(slug)
    latest = newest(paper)
    if json:
        claims = [_claim_json(c, latest.get(c.name)) for c in paper.claims]
        emit({**_card_json(paper), "claims": claims})
        return
    lines = {
        "title": paper.title,
        "authors": ", ".join(paper.authors or ()),
        "year": str(paper.year),
        "arxiv": paper.arxiv,
        "venue": paper.venue,
        "areas": ", ".join(paper.areas),
        "mechanism": paper.mechanism,
        "summary": paper.summary,
        "official code": ", ".join(paper.official_code) or "none known",
        "licence": paper.licence,
        "state": standing(paper).state,
    }
    for name, text in lines.items():
        print(f"{name:14} {text or 'not known'}")
    if paper.claims:
        _claims_table(paper, latest, heading=not quiet)
    if paper.claims and not quiet:
        highest = max((c.level for c in paper.claims), key=LEVELS.index)
        print(f"Run it: {_command(slug, highest)}")


@app.command()
def reproduce(
    slug: Slug,
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
    json: options.Json = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the claims of one paper and judge each. Exits with 1 when a claim is red."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.papers import card
    from parsimony.papers import record as records
    from parsimony.papers.tables import MissingTableError

    console = Console(quiet)
    paper = card(slug)
    claims = _chosen(paper, level)
    if record and claims:
        records.check_writable()
    if dry_run or not claims:
        _announce(paper, claims, level, json)
        return
    results: dict[str, Result] = {}
    absent: dict[str, str] = {}
    with console.phase(f"{slug}: running {_claims_of(level, claims)}", len(claims)) as phase:
        for claim in claims:
            phase.advance()
            try:
                result = records.execute(paper, claim, _command(slug, level, record))
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
        shown = [_claim_json(c, results[c.name]) for c in claims if c.name in results]
        emit({"slug": slug, "level": level, "state": state, "recorded": record, "claims": shown})
    else:
        _claims_table(paper, results, heading=not quiet)
        kept = "recorded" if record else "not recorded; add --record to keep it"
        print(f"{slug}: {state}, {len(results) - failed} of {len(results)} claims hold ({kept})")
    if failed:
        raise typer.Exit(1)


def _chosen(paper: Card, level: str) -> Sequence[Claim]:
    """The claims up to ``level``; refuses a level that this machine cannot run."""
    from parsimony.core.errors import InputError, nearest, require
    from parsimony.papers.claim import LEVELS

    if level not in LEVELS:
        raise InputError(f"unknown level '{level}'", hint=nearest(level, LEVELS))
    reach = LEVELS[: [*LEVELS].index(level) + 1]
    if paper.claims and level == "gpu" and not require("torch", "adapt").cuda.is_available():
        raise InputError(
            "level 'gpu' needs a CUDA device, and torch sees none",
            hint="Run it with --level cpu here, or on a machine with a GPU",
        )
    return [c for c in paper.claims if c.level in reach]


def _announce(paper: Card, claims: Sequence[Claim], level: str, json: bool) -> None:
    """Say what would run, or that there is nothing to run yet; spends nothing."""
    from parsimony.cli.main import emit
    from parsimony.papers.record import newest

    latest = newest(paper)
    if json:
        planned = [_claim_json(c, latest.get(c.name)) for c in claims]
        state = "planned" if claims else "not yet"
        emit({"slug": paper.slug, "level": level, "state": state, "claims": planned})
        return
    if not claims:
        lacks = f"no claims up to level '{level}'" if paper.claims else "no claims"
        print(f"{paper.slug}: not yet, the card has {lacks}")
        return
    print(f"{paper.slug}: would run {_claims_of(level, claims)}")
    for c in claims:
        took = f"took {latest[c.name].seconds:.3g} s last" if c.name in latest else "never run"
        print(f"  {c.name} ({c.level}, {took})")


def _claims_of(level: str, claims: Sequence[Claim]) -> str:
    return f"{len(claims)} claim{'s' if len(claims) != 1 else ''} up to level '{level}'"


def _command(slug: str, level: str, record: bool = False) -> str:
    words = ["parsimony", "papers", "reproduce", slug, "--level", level]
    return shlex.join([*words, "--record"] if record else words)


def _card_json(paper: Card) -> dict[str, Any]:
    from dataclasses import asdict

    from parsimony.papers.record import standing

    return {**paper.as_dict(), "standing": asdict(standing(paper))}


def _claim_json(claim: Claim, result: Result | None) -> dict[str, Any]:
    from dataclasses import fields

    literal = {f.name: getattr(claim, f.name) for f in fields(claim) if f.name != "run"}
    return {**literal, "result": result.as_dict() if result else None}


def _claims_table(paper: Card, results: dict[str, Result], *, heading: bool) -> None:
    """One line for each claim of the card, and below the table what any of them raised."""
    from parsimony.papers.record import state_of

    rows = []
    for c in paper.claims:
        result = results.get(c.name)
        published = c.published_text if c.published is None else _number(c.published)
        ours = _number(result.value) if result else ""
        if result and result.interval:
            ours += f" [{', '.join(map(_number, result.interval))}]"
        state = state_of(paper, [result] if result else [])
        date = result.date[:10] if result else ""
        rows.append((c.name, c.level, published, ours, state, date, c.source))
    table(
        ("claim", "level", "published", "ours", "state", "date", "figure from"),
        rows,
        heading=heading,
    )
    for result in results.values():
        if result.error:
            print(f"{result.claim}: {result.error}")


def _number(value: float | None) -> str:
    if value is None:
        return "no number"
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"
