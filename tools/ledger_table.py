"""Write the errors of our predictions into README.md, from the runs kept in docs/ledger.json.

``tools/ledger_table.py`` rewrites them; ``tools/ledger_table.py --check`` fails when they are
stale. The command that made docs/ledger.json stands in docs/plan.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import generated

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


def main(arguments: list[str]) -> None:
    wanted = generated.between(README, START, END, tables())
    generated.write(README, wanted, "the ledger in README.md", "ledger_table.py", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
