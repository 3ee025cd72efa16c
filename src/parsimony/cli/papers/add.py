"""``parsimony papers add``: a paper of your own, from a card or from arXiv's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.papers import _live as shared


def command(
    file: Annotated[
        Path, typer.Argument(help="A card (.toml), or arXiv's metadata (.xml, .atom, .json).")
    ],
    cards: shared.Cards = None,
    area: shared.Area = None,
    summary: shared.Summary = None,
    mechanism: shared.Mechanism = None,
    slug: shared.Slug = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add a paper to your own cards, once it keeps the rules of every card."""
    from parsimony.papers import adding

    given = {"areas": tuple(area or ()), "summary": summary, "mechanism": mechanism, "slug": slug}
    into = shared.cards_folder(cards)
    card = adding.read(file, given)
    adding.check(card, into, file.name)
    shared.added(None if dry_run else adding.add(card, into, file.name), card, json, quiet)
