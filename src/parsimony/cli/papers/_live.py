"""What the commands of the live catalogue share: their options, and how these are read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from parsimony.papers.live.mail import Relay

DB = "papers.db"
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_USER, _PASSWORD = "PARSIMONY_SMTP_USER", "PARSIMONY_SMTP_PASSWORD"

Db = Annotated[str, typer.Option("--db", help="SQLite file, or any SQLAlchemy URL.")]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", help="Address that links in mails lead to.", show_default=False),
]
Smtp = Annotated[
    str | None,
    typer.Option(
        "--smtp",
        help=f"HOST:PORT that takes mail; log-in from {_USER} and {_PASSWORD}.",
        show_default=False,
    ),
]
SmtpTls = Annotated[
    str | None,
    typer.Option(
        "--smtp-tls",
        help="none, starttls or tls; starttls but on this machine.",
        show_default=False,
    ),
]
From = Annotated[
    str | None,
    typer.Option("--sender", help="'Name <name@example.org>' of mails.", show_default=False),
]
Cards = Annotated[
    Path | None,
    typer.Option(
        "--cards",
        help="Folder of your own cards.",
        envvar="PARSIMONY_CARDS",
        show_default=False,
    ),
]
Area = Annotated[
    list[str] | None,
    typer.Option("--area", help="Area of the paper; may be repeated.", show_default=False),
]
Summary = Annotated[
    str | None,
    typer.Option("--summary", help="What it does for a user, one sentence.", show_default=False),
]
Mechanism = Annotated[
    str | None, typer.Option("--mechanism", help="Where it is built.", show_default=False)
]
Slug = Annotated[
    str | None, typer.Option("--slug", help="Its short name here.", show_default=False)
]


def relay(smtp: str | None, tls: str | None) -> Relay | None:
    """The mail server of ``--smtp``, with the log-in of the environment."""
    from parsimony.papers.live.mail import Relay

    if smtp is None:
        return None
    return Relay.parse(smtp, tls, os.environ.get(_USER, ""), os.environ.get(_PASSWORD, ""))


def address(text: str) -> str:
    """The address of the pages, without a slash at the end.

    Raises:
        InputError: it is no web address.
    """
    from parsimony.core.errors import InputError

    if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?", text):
        raise InputError("--base-url is http:// or https:// and a host, with no path", got=text)
    return text.rstrip("/")


def period(text: str) -> int:
    """Seconds of ``7d``, ``24h``, ``2w`` or ``90m``.

    Raises:
        InputError: not of that form, or nothing.
    """
    from parsimony.core.errors import InputError

    found = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", text.strip())
    if found is None:
        raise InputError("--since is a number and m, h, d or w, such as 7d", got=text)
    return int(found[1]) * _UNITS[found[2]]


def cards_folder(given: Path | None) -> Path:
    """The folder of the user's own cards.

    Raises:
        InputError: none is named.
    """
    from parsimony.core.errors import InputError

    if given is None:
        raise InputError(
            "your own cards need a folder", hint="Set PARSIMONY_CARDS to it, or give --cards"
        )
    return given


def added(file: Path | None, card: Mapping[str, Any], json: bool, quiet: bool) -> None:
    """Say that a card was written, and where it is read from."""
    from parsimony.cli.main import emit
    from parsimony.papers import own

    if json:
        emit({"slug": card["slug"], "file": str(file) if file else None})
    elif file is None:
        print(f"{card['slug']} keeps the rules; nothing is written")
    else:
        print(f"{card['slug']} is written to {file}")
        mine = own.folder()
        if not quiet and (mine is None or mine.resolve() != file.parent.resolve()):
            print(f"Set PARSIMONY_CARDS={file.parent} and the catalogue has it")
