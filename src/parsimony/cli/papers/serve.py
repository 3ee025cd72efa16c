"""``parsimony papers serve``: the catalogue as a live site on this machine."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.papers import _live as shared

_LOOPBACK = "127.0.0.1"


def command(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than loopback are open.")
    ] = _LOOPBACK,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="TCP port; 0 for any free one.")
    ] = 8080,
    db: shared.Db = shared.DB,
    base_url: shared.BaseUrl = None,
    smtp: shared.Smtp = None,
    smtp_tls: shared.SmtpTls = None,
    sender: shared.From = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            "--proxy",
            help="Address of the proxy in front, whose X-Forwarded-For is believed.",
            show_default=False,
        ),
    ] = None,
    docs: Annotated[
        Path | None,
        typer.Option(
            "--docs", help="Folder of guides; the checkout's own docs.", show_default=False
        ),
    ] = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve the catalogue: search by meaning, votes, subscription by mail, proposals."""
    import time

    import parsimony
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError, require

    uvicorn = require("uvicorn", "papers")
    require("fastapi", "papers")
    require("sqlalchemy", "papers")
    from parsimony.papers.live import tokens
    from parsimony.papers.live.app import Settings, create
    from parsimony.papers.live.database import Database
    from parsimony.papers.live.security import is_loopback
    from parsimony.papers.site import content

    console = Console(quiet)
    if not is_loopback(host):
        if base_url is None:
            raise InputError(
                "a server that others can reach needs the address they use",
                got=host, hint="Give --base-url https://papers.example.org",
            )  # fmt: skip
        console.say(f"Warning: {host} is open to other machines; put a proxy with TLS in front")
    listener = _listen(host, port)
    address = f"[{host}]" if ":" in host else host
    url = shared.address(base_url or f"http://{address}:{listener.getsockname()[1]}")
    own = Path(parsimony.__file__).parents[2] / "docs"
    database = Database(db)
    settings = Settings(
        base_url=url,
        secret=tokens.server_secret(database.folder),
        relay=shared.relay(smtp, smtp_tls),
        sender=sender,
        docs=docs or (own if own.is_dir() else None),
    )
    if dry_run:
        papers = len(content.read().papers)
        listener.close()
        database.close()
        if json:
            emit({"address": url, "papers": papers})
        else:
            print(f"Would serve {papers} papers at {url}/")
        return
    console.say("Reading the cards and their results, and placing them by meaning")
    app = create(settings, database, time.time)
    if json:
        emit({"address": url, "database": db, "mail": smtp is not None})
        sys.stdout.flush()
    else:
        print(f"Papers at {url}/ (Ctrl-C stops)", flush=True)
    with listener:
        # Addresses of links in letters hold tokens, so requests are not logged.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False,
            proxy_headers=proxy is not None, forwarded_allow_ips=proxy or "",
        )  # fmt: skip
        uvicorn.Server(config).run([listener])
    database.close()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; the system chooses the port when it is 0.

    Raises:
        InputError: the address is not this machine's, or the port is taken.
    """
    from parsimony.core.errors import InputError

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"host and port must be free to listen on ({error})", got=f"{host}:{port}",
            hint="Give another --port",
        ) from None  # fmt: skip
