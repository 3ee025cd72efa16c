"""``parsimony papers proposals``: what readers proposed, to accept or to reject."""

from __future__ import annotations

from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.papers import _live as shared
from parsimony.cli.tables import table


def command(
    action: Annotated[str, typer.Argument(help="list, accept or reject.")] = "list",
    number: Annotated[
        int | None, typer.Argument(help="Of the proposal.", show_default=False)
    ] = None,
    db: shared.Db = shared.DB,
    cards: shared.Cards = None,
    area: shared.Area = None,
    summary: shared.Summary = None,
    mechanism: shared.Mechanism = None,
    slug: shared.Slug = None,
    year: Annotated[
        int | None, typer.Option("--year", help="Of the first version.", show_default=False)
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List the papers that readers proposed; accept one into your own cards, or reject it."""
    from datetime import UTC, datetime

    from parsimony.cli.main import emit
    from parsimony.core.errors import InputError, nearest, require

    require("sqlalchemy", "papers")
    from parsimony.papers.live import proposals
    from parsimony.papers.live.database import Database

    actions = ("list", "accept", "reject")
    if action not in actions:
        raise InputError(f"unknown action '{action}'", hint=nearest(action, actions))
    if action != "list" and number is None:
        raise InputError(f"{action} needs the number of a proposal", hint="See: list")
    database = Database(db)
    if action == "accept" and number is not None:
        given = {
            "areas": tuple(area or ()), "summary": summary, "mechanism": mechanism, "slug": slug,
            "year": year,
        }  # fmt: skip
        file = proposals.accept(database, number, shared.cards_folder(cards), given)
        shared.added(file, {"slug": file.stem}, json, quiet)
    elif action == "reject" and number is not None:
        proposals.reject(database, number)
        if json:
            emit({"rejected": number})
        else:
            print(f"Proposal {number} is rejected")
    else:
        held = proposals.listed(database)
        rows = [
            (str(p.id), datetime.fromtimestamp(p.created, UTC).date().isoformat(), p.title, p.link)
            for p in held
        ]
        names = ("number", "date", "title", "link")
        if json:
            notes = [{"note": p.note} for p in held]
            listed = [
                dict(zip(names, row, strict=True)) | note
                for row, note in zip(rows, notes, strict=True)
            ]
            emit({"proposals": listed})
        elif rows:
            table(names, rows, heading=not quiet)
        else:
            print("No proposal waits")
    database.close()
