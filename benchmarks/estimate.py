"""Estimators beside named peers, in one process: survival, battery, demand.

``python benchmarks/estimate.py [survival|battery|demand ...] [--json]`` prints ratios with their
spread; without a name, all three. Each is a file of that name beside this one.
"""

from __future__ import annotations

import importlib
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

from _rows import show

PARTS = ("survival", "battery", "demand")


def main(arguments: list[str]) -> None:
    """Measure what is named and print it."""
    names = [name for name in arguments if name != "--json"] or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"known: {', '.join(PARTS)}, but got {unknown[0]!r}")
    rows = [row for name in names for row in importlib.import_module(f"_{name}").rows()]
    show(rows, "--json" in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
