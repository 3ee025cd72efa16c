"""The command line: one file per verb, each importing its area only when it runs."""

from parsimony.cli.main import main

__all__ = ["main"]
