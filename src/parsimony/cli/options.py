"""The options every verb shares, written once; a verb takes those that mean something for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from parsimony.core.console import Console
    from parsimony.core.pages import Page

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
Batch = Annotated[int, typer.Option("--batch", help="Rows per optimizer step.")]
Window = Annotated[
    int | None,
    typer.Option("--window", help="Longest input in tokens or frames.", show_default=False),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", help="Use this many rows of the data.", show_default=False),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu or cuda; cuda where present.", show_default=False),
]
Beyond = Annotated[
    bool, typer.Option("--beyond", help="Answer beyond the law's reach, with a wider band.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]


def _page_file(path: Path | None) -> Path | None:
    """Refuse a wrong name before anything is computed."""
    if path is not None:
        from parsimony.report import check_name

        check_name(path)
    return path


Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Write the figures and tables as one page, FILE.html.",
        callback=_page_file,
        show_default=False,
    ),
]


def save_report(page: Page, path: Path, console: Console) -> None:
    """Write what ``--report`` asks for, and say so."""
    from parsimony.report import write_page

    write_page(page, path)
    console.say(f"The report is written to {path}")


def given(context: typer.Context) -> dict[str, str]:
    """What the user wrote on the command line: option as typed, by parameter."""
    return {
        str(option.name): option.opts[0]
        for option in context.command.params
        if getattr(context.get_parameter_source(str(option.name)), "name", "") == "COMMANDLINE"
    }


def refuse_changes(context: typer.Context) -> None:
    """A run goes on with the settings it was started with; any other would be ignored.

    Raises:
        InputError: names the first that is given.
    """
    from parsimony.core.errors import InputError

    for name, option in given(context).items():
        if name not in ("resume", "json", "quiet"):
            raise InputError(
                "--resume goes on with the settings of the run", got=option,
                hint="Leave out all others but --json and --quiet",
            )  # fmt: skip
