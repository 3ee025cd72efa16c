"""``parsimony papers list``: every paper with its state."""

from __future__ import annotations

from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.papers import card_json
from parsimony.cli.tables import table


def command(
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
        emit({"cards": [card_json(c) for c, _ in rows]})
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
