"""``parsimony papers show``: one paper, its claims, and the newest result of each."""

from __future__ import annotations

from parsimony.cli import options
from parsimony.cli.papers import Slug, card_json, claim_json, claims_table


def command(slug: Slug, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Show one paper: what it does for a user, its claims, and the newest result of each."""
    from parsimony.cli.main import emit
    from parsimony.papers import card
    from parsimony.papers.claim import LEVELS
    from parsimony.papers.record import newest, reproduce_command, standing

    paper = card(slug)
    latest = newest(paper)
    if json:
        claims = [claim_json(c, latest.get(c.name)) for c in paper.claims]
        emit({**card_json(paper), "claims": claims})
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
        claims_table(paper, latest, heading=not quiet)
    if paper.claims and not quiet:
        highest = max((c.level for c in paper.claims), key=LEVELS.index)
        print(f"Run it: {reproduce_command(slug, highest)}")
