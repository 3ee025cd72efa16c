"""``parsimony papers digest``: mail what changed to everyone who subscribed, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.papers import _live as shared


def command(
    since: Annotated[
        str, typer.Option("--since", help="The period: 7d, 24h; no issue comes sooner.")
    ] = "7d",
    smtp: shared.Smtp = None,
    smtp_tls: shared.SmtpTls = None,
    sender: shared.From = None,
    db: shared.Db = shared.DB,
    base_url: shared.BaseUrl = None,
    resend: Annotated[
        bool,
        typer.Option(
            "--resend",
            help="Also send letters again that may have arrived, in the newest issue.",
        ),
    ] = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Mail what changed to each subscriber, once; run it again after a stop and it goes on."""
    import time
    from dataclasses import asdict

    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError, require
    from parsimony.papers import cards

    require("sqlalchemy", "papers")
    from parsimony.papers.live import digest, letters, news
    from parsimony.papers.live.database import Database

    period = shared.period(since)
    console, now = Console(quiet), int(time.time())
    relay = shared.relay(smtp, smtp_tls)
    if relay is None and not dry_run:
        raise InputError("a digest needs a mail server", hint="Give --smtp HOST:PORT, or --dry-run")
    url = shared.address(base_url or "http://127.0.0.1:8080")
    known = cards()
    if dry_run:
        absent = "://" not in db and not Path(db).exists()
        database = Database("sqlite://" if absent else db)  # that one is in memory
        would, readers = digest.preview(database, known, period, now)
        if json:
            emit({"subscribers": readers, "news": asdict(would)})
            return
        print(letters.preview(would, url) if not would.empty else "Nothing changed.")
        print(f"Would go to {readers} subscriber{'s' if readers != 1 else ''}")
        return
    database = Database(db)
    news.note(database, known, now)
    assert relay is not None
    with console.phase("Sending the digest", max(1, digest.left(database))) as phase:
        done = digest.send(
            database, known, relay, letters.Sender.of(sender, url), since=period,
            clock=time.time, resend=resend, progress=phase.advance,
        )  # fmt: skip
    database.close()
    if json:
        emit(asdict(done))
    elif done.issue is None:
        print(f"Nothing sent: {done.note}")
    else:
        print(
            f"Issue {done.issue}: {done.sent} sent, {done.waiting} waiting, {done.refused} refused,"
            f" {done.handed} in doubt"
        )
        if done.waiting:
            console.say("Run the same command again for those that wait")
        if done.handed:
            console.say("Those in doubt may have arrived; --resend sends them again, perhaps twice")
