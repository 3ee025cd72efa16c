"""A surrogate that is trained once on a machine and kept in the cache folder.

Training goes on where a killed one stopped. What is kept belongs to its settings and to the
versions of the packages.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from parsimony.core.console import Console
from parsimony.core.run import made_once
from parsimony.estimate.battery import workflow

NAME = "battery-surrogate"


def folder(request: workflow.Request, console: Console | None = None) -> Path:
    """The run folder, trained now if it is not there yet.

    Args:
        request: what to train.
        console: shows progress.
    """
    console = console or Console(quiet=True)
    with made_once(NAME, asdict(request)) as home:
        if (home / "config.json").is_file():
            workflow.resume(home, console)
        else:
            workflow.build(request, home, console)
    return home
