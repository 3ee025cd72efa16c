"""Pages from content: jinja2 with everything escaped, one function a page, text out.

A server that shows the same pages puts its own folder of templates before ours. Three includes are
left for it: ``live_home.html.j2``, ``live_row.html.j2`` and ``live_paper.html.j2``; and what it
passes as ``live`` reaches every template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

import parsimony
from parsimony.core import figures
from parsimony.core.pages import Axis, Plot, Series
from parsimony.papers.claim import LEVELS
from parsimony.papers.site import feed, words
from parsimony.papers.site.content import WORST_FIRST, Catalogue, Paper
from parsimony.papers.site.guides import Guide
from parsimony.report import look
from parsimony.report.figures import Chart

HERE = Path(__file__).parent
SHOWN = 80
"""So many of the newest papers are rows of the home page itself; the script makes the others'."""
ASSETS = (look.STYLE, HERE / "site.css", look.SCRIPT, HERE / "site.js")
"""What the pages load, from ``assets/`` beside them."""
_MARKS = 12  # of the newest results, as signs beside a claim
_SIGNS = {"green": "✓", "red": "✕", "stale": "↻", "not yet": "\N{EN DASH}"}


class Renderer:
    """Makes the pages of one catalogue.

    Args:
        catalogue: the papers.
        guides: the pages of the docs.
        related: the names of the papers near to each, by name.
        templates: folders that go before ours.
        live: what a server knows besides, passed on to the templates; ``None`` for a static site.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        guides: Sequence[Guide] = (),
        related: Mapping[str, Sequence[str]] | None = None,
        templates: Sequence[Path] = (),
        live: Mapping[str, Any] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._guides = guides
        self._related = related or {}
        self._environment = look.environment(*templates, HERE)
        self._environment.filters |= {
            "figure": words.figure,
            "interval": words.interval,
            "promise": words.promise,
            "origin": words.origin,
            "duration": words.duration,
            "sentence": words.sentence,
            "day": words.day,
            "month": words.month,
            "stands": feed.stands,
            "place": words.place,
        }
        self._environment.globals |= {
            "catalogue": catalogue,
            "guides": guides,
            "levels": LEVELS,
            "states": WORST_FIRST,
            "signs": _SIGNS,
            "version": parsimony.__version__,
            "live": live,
            "marks": _MARKS,
        }

    def home(self) -> str:
        """The list of every paper, with its search."""
        return self._page("home", root="", papers=self._catalogue.papers[:SHOWN])

    def paper(self, paper: Paper) -> str:
        """The page of one paper."""
        near = [self._catalogue.by_slug[slug] for slug in self._related.get(paper.slug, ())]
        guides = [guide for guide in self._guides if guide.area in paper.card.areas]
        return self._page(
            "paper", root="../", paper=paper, near=near, own=guides, chart=_chart(paper)
        )

    def areas(self) -> str:
        """Every area in short."""
        return self._page("areas", root="../", say=says)

    def area(self, area: str) -> str:
        """The papers and the guides of one area."""
        papers = self._catalogue.areas[area]
        own = [guide for guide in self._guides if guide.area == area]
        return self._page(
            "area", root="../", area=area, papers=papers[:SHOWN], own=own, count=len(papers),
            say=says(area),
        )  # fmt: skip

    def red(self) -> str:
        """Every claim that does not hold, and why."""
        return self._page("red", root="")

    def guide(self, guide: Guide) -> str:
        """A page of the docs."""
        return self._page("guide", root="../", guide=guide)

    def guide_list(self) -> str:
        """The docs by area."""
        areas = sorted({guide.area for guide in self._guides if guide.area})
        return self._page("guides", root="../", groups=[*areas, None])

    def _page(self, name: str, **values: Any) -> str:
        return self._environment.get_template(f"{name}.html.j2").render(**values)


def says(area: str) -> str:
    """What an area is for: the first line of its package, or that there is none yet."""
    file = Path(parsimony.__file__).parent / area / "__init__.py"
    if not file.is_file():
        return "No method of this area is built yet; its cards say what was promised."
    first = file.read_text(encoding="utf-8").partition("\n")[0].strip('"')
    return words.sentence(first[:1].upper() + first[1:])


def _chart(paper: Paper) -> Chart | None:
    plot = history(paper)
    if plot is None:
        return None
    # Drawn by matplotlib, which escapes what it writes.
    svg = Markup(figures.draw(plot, "history"))  # noqa: S704
    return Chart(plot.title, svg, plot.note, legend=figures.legend(plot))


def history(paper: Paper) -> Plot | None:
    """How many claims had a result over time, and how many of these held; ``None`` before two."""
    runs = sorted(
        (words.moment(result.date), name, result.passed)
        for name, results in ((o.claim.name, o.results) for o in paper.outcomes)
        for result in results
    )
    if len(runs) < 2 or runs[0][0] == runs[-1][0]:
        return None
    newest: dict[str, bool] = {}
    times, known, hold = [], [], []
    for place, (moment, name, passed) in enumerate(runs):
        newest[name] = passed
        if place + 1 == len(runs) or runs[place + 1][0] > moment:
            times.append((moment - runs[0][0]).total_seconds())
            known.append(float(len(newest)))
            hold.append(float(sum(newest.values())))
    return Plot(
        title="Claims over time",
        note=f"From the first result, {words.day(runs[0][0].isoformat())}; "
        f"{len(runs)} results in all.",
        x=Axis(label="time since the first result", unit="seconds"),
        y=Axis(label="claims", unit="count"),
        series=[
            Series(name="hold", x=times, y=hold, style="line"),
            Series(name="have a result", x=times, y=known, style="dashed"),
        ],
    )
