"""`parsimony report`: the page of a run, a list of runs, or two of them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parsimony.cli.options import Json, Out, Quiet
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.core.console import Console
    from parsimony.core.pages import Page
    from parsimony.report.comparison import Comparison
    from parsimony.report.runs import Listed


def command(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders of runs.")
    ],
    compare: Annotated[
        bool, typer.Option("--compare", help="Set two runs side by side, setting by setting.")
    ] = False,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the page of a run; list several, or all below a folder; or compare two.

    The page of one run goes to RUN/report.html. A list or a comparison is printed, and written as
    a page where --out names one. No page needs a network.
    """
    from parsimony import report
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.report import comparison
    from parsimony.report import runs as listed

    console = Console(quiet)
    if out is not None:
        report.check_name(out)
    if compare:
        if len(runs) != 2:
            raise InputError("--compare takes two runs", got=len(runs), hint="Name two folders")
        found = comparison.compare(*runs)
        _page(comparison.page(found) if out else None, out, console)
        _show_comparison(found, as_json, quiet)
        return
    if len(runs) == 1 and not listed.below(runs[0]):
        _one(report.write(runs[0], out), as_json, console)
        return
    rows = listed.listing(listed.find(runs))
    _page(listed.page(rows) if out else None, out, console)
    _show_list(rows, as_json, quiet)


def _one(page: Path, as_json: bool, console: Console) -> None:
    from parsimony.cli.main import emit

    console.say(f"report: {page.stat().st_size / 1000:,.0f} kB, opens in any browser")
    if as_json:
        emit({"report": str(page), "bytes": page.stat().st_size})
    else:
        print(page)


def _page(page: Page | None, out: Path | None, console: Console) -> None:
    if page is not None and out is not None:
        from parsimony.report import write_page

        write_page(page, out)
        console.say(f"The report is written to {out}")


def _show_list(rows: list[Listed], as_json: bool, quiet: bool) -> None:
    from parsimony.cli.main import emit
    from parsimony.report import runs

    if as_json:
        emit({"runs": [row.as_dict() for row in rows]})
    else:
        table(runs.COLUMNS, _cells(map(runs.row, rows)), heading=not quiet)


def _show_comparison(found: Comparison, as_json: bool, quiet: bool) -> None:
    from parsimony.cli.main import emit
    from parsimony.report import comparison

    if as_json:
        emit(found.as_dict())
        return
    for title, columns, rows in comparison.tables(found):
        if rows:
            table(columns, _cells(rows), title=title, heading=not quiet)
    print(found.summary)


def _cells(rows: Iterable[Sequence[str | None]]) -> list[list[str]]:
    return [[cell or "" for cell in row] for row in rows]
