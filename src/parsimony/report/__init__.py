"""One self-contained HTML page from a run folder."""

from parsimony.report.page import write

__all__ = ["write"]
