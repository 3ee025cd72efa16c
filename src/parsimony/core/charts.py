"""Small charts as SVG text, made to stand inside an HTML page.

Drawn by matplotlib, then fitted to the page: colours become CSS variables (``--ink``, ``--muted``,
``--rule``, ``--series-1`` ...) with the light colour as fallback, so one drawing serves light, dark
and print; text stays text in the page's own font; every id carries the chart's key. Equal input
gives equal bytes.
"""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from parsimony.core.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, RULE, PAPER = "#1d1c1a", "#6a665f", "#dcd7cd", "#fdfcf9"
SERIES = ("#0a6b5e", "#a34a18", "#3b5bab", "#8a3b77", "#8a6a0b", "#4d6b2c")
MARKERS = ("o", "s", "D", "^", "v", "P")

_VARIABLE = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"}
_VARIABLE |= {colour: f"--series-{i}" for i, colour in enumerate(SERIES, 1)}
_INCHES = (4.7, 3.3)  # 338 points wide: text of 8 points is still legible on a phone
_ABOVE, _BELOW = 0.28, 0.4455  # inches outside the axes
TEXT = 8.0
_STEPS = [1, 2, 2.5, 5, 10]
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.unicode_minus": True,
    "font.size": TEXT,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows and how its ticks read."""

    label: str
    format: Callable[[float], str] = "{:g}".format
    log: bool = False


@dataclass(frozen=True)
class Point:
    """One labelled value.

    Attributes:
        label: its name, drawn beside it.
        x, y: position in data units.
        low, high: ends of the interval of ``y``; ``None`` where there is none.
        series: colour and marker, counted from 0 and repeated past the palette.
        hollow: drawn as an outline, for values of a lesser kind (predicted, say).
        marked: drawn inside a ring, for the one that matters.
    """

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    series: int = 0
    hollow: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Line:
    """One polyline; without ``series`` it is drawn faint, as background, and not named."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    series: int | None = None


def scatter(
    points: Sequence[Point],
    *,
    key: str,
    title: str,
    x: Axis,
    y: Axis,
    reference: tuple[str, float] | None = None,
) -> str:
    """Points with vertical intervals, and a dashed line at ``reference`` (name, y value)."""

    def draw(axes: Axes) -> None:
        scales(axes, x, y, [point.x for point in points])
        for point in sorted(points, key=lambda point: point.marked):  # the marked one on top
            _point(axes, point)
        axes.margins(y=0.12)
        if reference is not None:
            axes.axhline(reference[1], color=MUTED, linewidth=0.8, dashes=(4, 3))
            axes.annotate(
                short(reference[0], 40), (1, reference[1]), xycoords=("axes fraction", "data"),
                xytext=(0, 3), textcoords="offset points", ha="right", color=MUTED,
            )  # fmt: skip
        name_points(axes, points, reference)

    return svg(draw, key=key, title=title)


def curves(lines: Sequence[Line], *, key: str, title: str, x: Axis, y: Axis) -> str:
    """Lines over ``x``: the first series on top, background lines below; each series named once."""

    def draw(axes: Axes) -> None:
        scales(axes, x, y, [])
        ends: dict[str, tuple[int, list[float]]] = {}
        on_top = sorted(lines, key=lambda line: -math.inf if line.series is None else -line.series)
        for line in on_top:
            if line.series is None:
                axes.plot(line.xs, line.ys, color=MUTED, alpha=0.35, linewidth=0.7)
                continue
            axes.plot(line.xs, line.ys, color=colour_of(line.series), linewidth=1.4, alpha=0.9)
            axes.plot(
                line.xs[-1:], line.ys[-1:], color=colour_of(line.series), markersize=3,
                marker=MARKERS[line.series % len(MARKERS)], markeredgewidth=0,
            )  # fmt: skip
            ends.setdefault(line.label, (line.series, []))[1].append(line.ys[-1])
        axes.figure.subplots_adjust(right=0.76)
        _name_ends(axes, {k: (series, sum(v) / len(v)) for k, (series, v) in ends.items()})

    return svg(draw, key=key, title=title)


def strips(rows: Mapping[str, Sequence[Point]], *, key: str, title: str, x: Axis) -> str:
    """One horizontal strip of points per row, around a line at zero; ``y`` of a point is unused."""

    def draw(axes: Axes) -> None:
        axes.grid(False, axis="y")
        axes.axvline(0, color=INK, linewidth=0.9)
        widest = max((abs(point.x) for row in rows.values() for point in row), default=0) or 0.01
        for place, row in enumerate(rows.values()):
            for index, point in enumerate(row):
                # Spread the points of a row over its height so that equal values stay visible.
                spread = 0.0 if len(row) == 1 else 0.5 * (index / (len(row) - 1) - 0.5)
                _point(axes, Point(point.label, point.x, place + spread, series=point.series))
        scales(axes, x, Axis(""), [])
        axes.set_xlim(-1.15 * widest, 1.15 * widest)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [short(name, 22) for name in rows], color=INK)
        axes.spines["left"].set_visible(False)
        axes.figure.subplots_adjust(left=0.24)

    return svg(draw, key=key, title=title)


def scales(axes: Axes, x: Axis, y: Axis, xs: Sequence[float], ys: Sequence[float] = ()) -> None:
    """Name and divide both axes; a logarithmic one needs its values, for its ends."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel(x.label)
    if y.label:
        axes.set_title(y.label, loc="left", fontsize=TEXT, color=MUTED, pad=8)
    if x.log:
        _logarithmic(axes, "x", xs)
    else:
        axes.margins(x=0.12 if len(xs) else 0.03)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    if y.log:
        _logarithmic(axes, "y", ys)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: x.format(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: y.format(value)))


def _logarithmic(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    low, high = math.log10(min(values)), math.log10(max(values))
    pad = 0.12 * max(high - low, 0.5)
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    axes.set(**{f"{which}scale": "log", f"{which}lim": (10 ** (low - pad), 10 ** (high + pad))})
    span = high - low
    subs = (1.0,) if span > 2 else (1.0, 3.0) if span > 1 else (1.0, 2.0, 5.0)
    # Less than a doubling may hold no such tick.
    axis.set_major_locator(LogLocator(subs=subs) if span > 0.5 else MaxNLocator(6, steps=_STEPS))
    axis.set_minor_locator(NullLocator())


def colour_of(series: int) -> str:
    """The colour of a series, counted from 0."""
    return SERIES[series % len(SERIES)]


def _point(axes: Axes, point: Point) -> None:
    colour = colour_of(point.series)
    if point.low is not None and point.high is not None:
        axes.plot([point.x, point.x], [point.low, point.high], color=colour, linewidth=1.3)
    marker = MARKERS[point.series % len(MARKERS)]
    axes.plot(
        [point.x], [point.y], linestyle="none", marker=marker,
        markersize=5.5 if marker in "osD" else 7,
        markerfacecolor=PAPER if point.hollow else colour,
        markeredgecolor=colour if point.hollow else PAPER,
        markeredgewidth=1.2 if point.hollow else 0.7,
    )  # fmt: skip
    if point.marked:
        axes.plot(
            [point.x], [point.y], linestyle="none", marker="o", markersize=12,
            markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.2,
        )  # fmt: skip


_Box = tuple[float, float, float, float]  # left, bottom, right, top, in points


def name_points(
    axes: Axes, points: Sequence[Point], reference: tuple[str, float] | None = None
) -> None:
    """Write each label at the place around its point that covers the least.

    A label that would cover others at every place is left out; a marked point is always named,
    one without a label never.
    """
    axes.get_ylim()  # settles the limits, which the transform alone would not
    position = axes.transData.transform
    frame = axes.get_window_extent()
    taken: list[_Box] = []
    for point in points:
        px, py = position((point.x, point.y))
        _, bottom = position((point.x, point.y if point.low is None else point.low))
        _, top = position((point.x, point.y if point.high is None else point.high))
        taken += [(px - 5, py - 5, px + 5, py + 5), (px - 1, bottom, px + 1, top)]
    if reference is not None:
        _, height = position((points[0].x, reference[1]))
        taken.append((frame.x0, height - 1, frame.x1, height + 1))
        taken.append((frame.x1 - 0.55 * TEXT * len(reference[0]), height, frame.x1, height + 12))
    named = [point for point in points if point.label]
    for point in sorted(named, key=lambda point: not point.marked):
        text = short(point.label, 20)
        wide, tall = 0.56 * TEXT * len(text), 1.15 * TEXT
        px, py = position((point.x, point.y))
        best: tuple[float, _Box] | None = None
        for away in (8, 16, 28):
            for across, up in ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                left = px + 8 if across == 1 else px - 8 - wide
                middle = py + up * away
                box = (left, middle - tall / 2, left + wide, middle + tall / 2)
                outside = wide * tall - _overlap(box, (frame.x0, frame.y0, frame.x1, frame.y1))
                cost = 3 * outside + sum(_overlap(box, other) for other in taken) + 0.01 * away
                if best is None or cost < best[0] - 1e-6:
                    best = (cost, box)
        assert best is not None
        cost, box = best
        if cost > 0.12 * wide * tall and not point.marked:
            continue
        taken.append(box)
        right = box[0] < px
        axes.annotate(
            text, (box[2] if right else box[0], (box[1] + box[3]) / 2), xycoords="figure pixels",
            ha="right" if right else "left", va="center_baseline",
            color=colour_of(point.series), fontweight="bold" if point.marked else "normal",
        )  # fmt: skip


def _overlap(a: _Box, b: _Box) -> float:
    """Area two boxes share."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(tall, 0.0)


def _name_ends(axes: Axes, ends: Mapping[str, tuple[int, float]]) -> None:
    """Write names right of the axes at the height of their line, pushed apart to stay legible."""
    axes.get_ylim()  # settles the limits, which the transform alone would not
    frame, gap = axes.get_window_extent(), 1.35 * TEXT
    names = sorted(ends, key=lambda name: ends[name][1])
    wanted = [float(axes.transData.transform((0, ends[name][1]))[1]) for name in names]
    for name, height in zip(names, _apart(wanted, gap, frame.y0, frame.y1), strict=True):
        axes.annotate(
            short(name, 18), (frame.x1 + 6, height), xycoords="figure pixels",
            va="center_baseline", color=colour_of(ends[name][0]), annotation_clip=False,
        )  # fmt: skip


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The heights in [low, high] nearest to ``wanted`` (ascending) that keep ``gap``.

    Least squares under an order constraint: pool adjacent violators of ``wanted - i * gap``, then
    clip. Where there is no room for the gap, it shrinks.
    """
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    pools: list[tuple[float, int]] = []  # mean, size
    for index, height in enumerate(wanted):
        mean, size = height - index * gap, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (before * count + mean * size) / (count + size), size + count
        pools.append((mean, size))
    top = high - (len(wanted) - 1) * gap
    flat = [min(max(mean, low), top) for mean, size in pools for _ in range(size)]
    return [mean + index * gap for index, mean in enumerate(flat)]


def short(text: str, most: int) -> str:
    """On one line, cut to so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def svg(draw: Callable[[Axes], None], *, key: str, title: str, height: float = _INCHES[1]) -> str:
    """What ``draw`` puts on its axes, as SVG text.

    Args:
        draw: the drawing.
        key: before every id, unique in the page.
        title: said to those who cannot see it.
        height: inches.
    """
    style = require("matplotlib.style", "adapt")
    figures = require("matplotlib.figure", "adapt")
    stream = io.StringIO()
    with style.context(["default", {**_STYLE, "svg.hashsalt": key}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's font may have it
        figure = figures.Figure(figsize=(_INCHES[0], height), dpi=72)
        top, bottom = 1 - _ABOVE / height, _BELOW / height
        figure.subplots_adjust(left=0.115, right=0.965, top=top, bottom=bottom)
        draw(figure.subplots())
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return _fit_to_page(stream.getvalue(), key, title)


def _fit_to_page(svg: str, key: str, title: str) -> str:
    size = re.search(r'viewBox="([^"]+)"', svg)
    assert size is not None
    body = svg[svg.index(">", size.end()) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: _fit_tag(tag[0], key), body)  # tags only, never text
    return (
        f'<svg class="chart" viewBox="{size[1]}" role="img" aria-label="{html.escape(title)}" '
        f'style="stroke-linejoin: round; stroke-linecap: butt">{body.strip()}'
    )


def _fit_tag(tag: str, key: str) -> str:
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", tag)
    tag = tag.replace("font-family: 'DejaVu Sans'", "font-family: var(--chart-font, sans-serif)")
    return re.sub(r"#[0-9a-f]{6}\b", _variable, tag)


def _variable(colour: re.Match[str]) -> str:
    name = _VARIABLE.get(colour[0])
    return f"var({name}, {colour[0]})" if name else colour[0]
