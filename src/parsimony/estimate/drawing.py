"""A figure that an estimator returns: its data, and an SVG of it with a legend."""

from __future__ import annotations

import html
import re
from pathlib import Path

from parsimony.core import charts, figures
from parsimony.core.artifacts import write_text
from parsimony.core.pages import Figure

_LINE = 14  # points of a line of the legend


class Drawing:
    """A figure and its SVG; shows itself in a notebook.

    Attributes:
        figure: the data, as a report page takes them.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    @property
    def svg(self) -> str:
        """The picture with its title and legend, as a file of its own."""
        key = re.sub(r"[^a-z0-9]+", "-", self.figure.title.lower()).strip("-") or "figure"
        drawn = figures.draw(self.figure, key)
        size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
        assert size is not None
        width, height = float(size[1]), float(size[2])
        entries = figures.legend(self.figure)
        head = f'<text x="6" y="12" font-weight="bold">{html.escape(self.figure.title)}</text>'
        for line, (sign, colour, name) in enumerate(entries, 2):
            ink = charts.MUTED if colour is None else charts.colour_of(colour)
            head += (
                f'<text x="6" y="{line * _LINE - 2}"><tspan fill="{ink}">{sign}</tspan> '
                f"{html.escape(name)}</text>"
            )
        above = (len(entries) + 1) * _LINE + 4
        inner = drawn.replace("<svg ", f'<svg y="{above}" width="{width}" height="{height}" ', 1)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height + above}" font-family="sans-serif" font-size="9" '
            f'fill="{charts.INK}"><rect width="100%" height="100%" fill="{charts.PAPER}"/>'
            f"{head}{inner}</svg>\n"
        )

    def save(self, path: str | Path) -> None:
        """Write the SVG."""
        write_text(Path(path), self.svg)

    def _repr_svg_(self) -> str:
        return self.svg
