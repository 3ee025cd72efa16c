"""``parsimony papers reproduce``: run the claims of a paper and judge each.

Exits with 0 when every claim it ran is green, or when the card has no claims yet ('not yet'); with
1 when a claim is red; with 2 when the request itself is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from parsimony.cli import options
from parsimony.cli.papers import Slug, claim_json, claims_table

if TYPE_CHECKING:
    from parsimony.papers import Card, Claim
    from parsimony.papers.record import Result


def command(
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
        claims_table(paper, results, heading=not quiet)
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
