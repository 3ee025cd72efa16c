"""``parsimony papers``: The papers behind parsimony, as cards that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.papers import Card, Claim
    from parsimony.papers.record import Result

Slug = Annotated[str, typer.Argument(help="Name of the paper, as 'parsimony papers list' prints.")]


def card_json(paper: Card) -> dict[str, Any]:
    """A card and where it stands."""
    from dataclasses import asdict

    from parsimony.papers.record import standing

    return {**paper.as_dict(), "standing": asdict(standing(paper))}


def claim_json(claim: Claim, result: Result | None) -> dict[str, Any]:
    """A claim and a result of it."""
    from dataclasses import fields

    literal = {f.name: getattr(claim, f.name) for f in fields(claim) if f.name != "run"}
    return {**literal, "result": result.as_dict() if result else None}


def claims_table(paper: Card, results: dict[str, Result], *, heading: bool) -> None:
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
