"""The options every verb shares, written once; a verb takes those that mean something for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout, all else on stderr.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Validate and predict the cost; spend nothing.")
]
Seed = Annotated[int, typer.Option("--seed", help="Every random choice derives from this.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Where the result goes.", show_default=False)
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Go on with this run folder.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
