"""One self-contained HTML page from a run folder, or from what a command found."""

from parsimony.report.page import check_name, write, write_page

__all__ = ["check_name", "write", "write_page"]
