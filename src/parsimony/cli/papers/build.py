"""``parsimony papers build``: the catalogue as a web site in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder of the site.")] = Path("site"),
    docs: Annotated[
        Path | None,
        typer.Option(
            "--docs", help="Folder of guides; the checkout's own docs.", show_default=False
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", help="Address it will have, for the feed.", show_default=False),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the catalogue as a web site: pages, search, a feed and JSON; it needs no server."""
    from dataclasses import asdict

    import parsimony
    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.core.console import Console
    from parsimony.papers.site.build import build

    own = Path(parsimony.__file__).parents[2] / "docs"
    Console(quiet).say("Reading the cards and their results, and placing them by meaning")
    site = build(out, docs or (own if own.is_dir() else None), base_url)
    if json:
        emit({**asdict(site), "folder": str(site.folder), "index": str(site.folder / "index.html")})
        return
    print(f"{site.papers} papers, {site.files} files, {units.format_bytes(site.bytes)}")
    if not quiet:
        print(f"Open {site.folder / 'index.html'}")
