"""How every page of ours looks: one style sheet, one script for tables, one template engine."""

from __future__ import annotations

from pathlib import Path

import jinja2

_HERE = Path(__file__).parent
STYLE = _HERE / "page.css"
SCRIPT = _HERE / "table.js"


def environment(*folders: Path) -> jinja2.Environment:
    """Templates of ``folders``, the first that has one, then those of the report.

    Everything is escaped unless a template or its caller marks it; an unknown name is an error.
    """
    return jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader([*folders, _HERE]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
