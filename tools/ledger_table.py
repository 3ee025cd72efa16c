"""Write the errors of our predictions into README.md, from the runs kept in docs/ledger.json.

``tools/ledger_table.py`` rewrites them; ``tools/ledger_table.py --check`` fails when they are
stale. The command that made docs/ledger.json stands in docs/plan.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from parsimony.cli.plan.ledger import COLUMNS, cells
from parsimony.core import ledger

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
LEDGER = ROOT / "docs" / "ledger.json"
START, END = "<!-- ledger: tools/ledger_table.py -->", "<!-- /ledger -->"


def tables() -> str:
    """The errors by quantity, and by method where a prediction was off."""
    found = ledger.read(LEDGER)
    off = [row for row in ledger.summary(found, per_method=True) if row["median_absolute_error"]]
    names = ["quantity", "predicted by", "method"]
    return "\n\n".join(
        [
            f"{len({run for run, _ in found})} runs on {'; '.join(ledger.machines(LEDGER))}:",
            _table(["quantity"], [[r["quantity"], *cells(r)] for r in ledger.summary(found)]),
            "By method, where the median is not 0:",
            _table(names, [[r["quantity"], r["verb"], r["method"] or "whole run", *cells(r)]
                           for r in off]),
        ]
    )  # fmt: skip


def _table(names: list[str], rows: list[list[Any]]) -> str:
    rule = ["---"] * len(names) + ["---:"] * len(COLUMNS)
    return "\n".join(f"| {' | '.join(row)} |" for row in [[*names, *COLUMNS], rule, *rows])


def render(text: str) -> str:
    """``text`` with what stands between the markers replaced.

    Raises:
        SystemExit: the markers are missing.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        sys.exit(f"{README.name} needs the markers {START} and {END}")
    return f"{before}{START}\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> None:
    current = README.read_text(encoding="utf-8")
    wanted = render(current)
    if arguments == ["--check"]:
        if current != wanted:
            sys.exit(
                "the ledger in README.md is stale; run: .venv/bin/python tools/ledger_table.py"
            )
    elif arguments:
        sys.exit("usage: tools/ledger_table.py [--check]")
    else:
        README.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
