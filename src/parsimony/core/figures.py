"""Draws the figures of a page (``core.pages``) as SVG, in the manner of ``core.charts``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from parsimony.core import charts, units
from parsimony.core.charts import MUTED, PAPER, colour_of
from parsimony.core.pages import Axis, Bars, Contours, Figure, Intervals, Plot, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FULL, HOLLOW = "●■◆▲▼✚", "○□◇△▽✛"
"""What ``charts.MARKERS`` look like, for the legend."""
_MANY = 100  # points, from which on they are drawn smaller
_ROW = 0.42  # inches of a named row
_SHARE = 0.16  # of the width, kept free for the figure beside a bar


def draw(figure: Figure, key: str) -> str:
    """The SVG of a figure.

    Args:
        figure: which.
        key: of its ids, unique in the page.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    kinds: dict[str, Callable[..., str]] = {
        "plot": _plot, "contours": _contours, "bars": _bars, "intervals": _intervals,
    }  # fmt: skip
    return kinds[figure.kind](figure, key)


def legend(figure: Figure) -> list[tuple[str, int | None, str]]:
    """Sign, colour (counted from 0, ``None`` for grey) and name of what a figure shows."""
    if isinstance(figure, Bars):
        parts = figure.parts if len(figure.parts) > 1 else []
        return [("■", colour, part) for colour, part in enumerate(parts)]
    if isinstance(figure, Intervals):
        return []
    found: list[tuple[str, int | None, str]] = []
    if isinstance(figure, Contours) and figure.region is not None:
        found.append(("▓", 0, figure.region[0]))
    # The first colour is that of the region, whether there is one or not.
    for series, colour in _coloured(figure.series, int(isinstance(figure, Contours))):
        number = colour or 0
        signs = {
            "line": "━", "dashed": "╍", "ringed": "◉",
            "points": FULL[number % len(FULL)], "hollow": HOLLOW[number % len(HOLLOW)],
        }  # fmt: skip
        found.append((signs[series.style], colour, series.name))
    return found


def _coloured(given: Sequence[Series], first: int) -> list[tuple[Series, int | None]]:
    """Each series with its colour; the dashed have none."""
    found: list[tuple[Series, int | None]] = []
    for series in given:
        found.append((series, None if series.style == "dashed" else first))
        first += series.style != "dashed"
    return found


def _plot(figure: Plot, key: str) -> str:
    xs = [x for series in figure.series for x in series.x]
    ys = [y for series in figure.series for y in (*series.y, *series.low, *series.high)]
    x, y = _Scale(figure.x, xs), _Scale(figure.y, ys)

    def on(axes: Axes) -> None:
        lines_only = all(series.style == "line" for series in figure.series)
        charts.scales(axes, x.axis, y.axis, [] if lines_only and not x.axis.log else x(xs), y(ys))
        _draw_series(axes, _coloured(figure.series, 0), x, y)

    return charts.svg(on, key=key, title=figure.title)


def _contours(figure: Contours, key: str) -> str:
    x, y = _Scale(figure.x, figure.xs), _Scale(figure.y, figure.ys)

    def on(axes: Axes) -> None:
        charts.scales(axes, x.axis, y.axis, x(figure.xs), y(figure.ys))
        xs, ys = x(figure.xs), y(figure.ys)
        axes.set(xlim=_ends(xs, x.axis.log), ylim=_ends(ys, y.axis.log))
        if figure.region is not None:
            least = min(min(row) for row in figure.z)
            if least < figure.region[1]:
                axes.contourf(
                    xs, ys, figure.z, [least, figure.region[1]], colors=[colour_of(0)], alpha=0.2
                )
        lines = axes.contour(xs, ys, figure.z, figure.levels, colors=[MUTED], linewidths=0.8)
        axes.clabel(lines, fmt=lambda value: _tick(value, figure.unit), fontsize=charts.TEXT - 1)
        _draw_series(axes, _coloured(figure.series, 1), x, y)

    return charts.svg(on, key=key, title=figure.title)


def _bars(figure: Bars, key: str) -> str:
    totals = [sum(lengths) for _, lengths in figure.rows]
    limit = [] if figure.limit is None else [figure.limit[1]]
    x = _Scale(figure.x, [*totals, *limit])

    def on(axes: Axes) -> None:
        end = max(x([*totals, *limit])) or 1.0
        for row, (_, lengths) in enumerate(figure.rows):
            left = 0.0
            for part, length in enumerate(x(lengths)):
                axes.barh(
                    row, length, 0.42, left, color=colour_of(part), edgecolor=PAPER, linewidth=0.5
                )
                left += length
            axes.annotate(
                units.write(totals[row], figure.x.unit), (left, row), xytext=(4, 0),
                textcoords="offset points", va="center_baseline",
            )  # fmt: skip
        _rows(axes, [name for name, _ in figure.rows], x)
        axes.set_xlim(0, end / (1 - _SHARE))
        _reference(axes, figure.limit, x)

    return charts.svg(on, key=key, title=figure.title, height=_height(len(figure.rows)))


def _intervals(figure: Intervals, key: str) -> str:
    ends = [e for row in figure.rows for e in (row.value, row.low, row.high) if e is not None]
    reference = [] if figure.reference is None else [figure.reference[1]]
    x = _Scale(figure.x, [*ends, *reference])

    def on(axes: Axes) -> None:
        for place, row in enumerate(figure.rows):
            if row.low is not None and row.high is not None:
                axes.plot(x([row.low, row.high]), [place, place], color=colour_of(0), linewidth=1.6)
            axes.plot(
                x([row.value]), [place], linestyle="none", marker="o", markersize=6,
                markerfacecolor=colour_of(0), markeredgecolor=PAPER, markeredgewidth=0.7,
            )  # fmt: skip
        _rows(axes, [row.name for row in figure.rows], x)
        low, high = min(x([*ends, *reference])), max(x([*ends, *reference]))
        pad = 0.06 * ((high - low) or abs(high) or 1.0)
        axes.set_xlim(low - pad, high + pad)
        _reference(axes, figure.reference, x)

    return charts.svg(on, key=key, title=figure.title, height=_height(len(figure.rows)))


def _draw_series(
    axes: Axes, given: Iterable[tuple[Series, int | None]], x: _Scale, y: _Scale
) -> None:
    """Lines below points, in both the first on top; then the labels."""
    from matplotlib.collections import LineCollection

    points: list[charts.Point] = []
    for order, (series, number) in enumerate(given):
        colour = MUTED if number is None else colour_of(number)
        xs, ys, low, high = x(series.x), y(series.y), y(series.low), y(series.high)
        if series.style in ("line", "dashed"):
            dashes = (0, (4, 3)) if series.style == "dashed" else "solid"
            if low:
                axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(xs, ys, color=colour, linewidth=1.4, zorder=2 - order / 100, linestyle=dashes)
            continue
        if low:
            whiskers = [((a, b), (a, c)) for a, b, c in zip(xs, low, high, strict=True)]
            axes.add_collection(LineCollection(whiskers, colors=colour, linewidths=1.1, alpha=0.7))
        hollow, ringed = series.style == "hollow", series.style == "ringed"
        marker = "o" if ringed else charts.MARKERS[(number or 0) % len(charts.MARKERS)]
        axes.plot(
            xs, ys, linestyle="none", marker=marker, zorder=3 - order / 100,
            markersize=(4.5 if marker in "osD" else 5.5) * (1 if len(xs) < _MANY else 0.65),
            markerfacecolor=PAPER if hollow else colour,
            markeredgecolor=colour if hollow else PAPER, markeredgewidth=0.9 if hollow else 0.5,
        )  # fmt: skip
        if ringed:
            axes.plot(
                xs, ys, linestyle="none", marker="o", markersize=9, zorder=3 - order / 100,
                markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.0,
            )  # fmt: skip
        points += [
            charts.Point(name, px, py, series=number or 0, marked=ringed)
            for name, px, py in zip(series.labels or [""] * len(xs), xs, ys, strict=True)
        ]
    if any(point.label for point in points):
        charts.name_points(axes, points)


def _rows(axes: Axes, names: Sequence[str], x: _Scale) -> None:
    """Names above their rows, which leaves room for long ones on a narrow screen."""
    charts.scales(axes, x.axis, charts.Axis(""), [])
    axes.grid(False, axis="y")
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.75)
    axes.spines["left"].set_visible(False)
    for place, name in enumerate(names):
        axes.annotate(
            charts.short(name, 64), (0, place - 0.46), xycoords=("axes fraction", "data"),
            va="center_baseline",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},  # a line may pass behind
        )  # fmt: skip
    axes.figure.subplots_adjust(left=0.03, right=0.97)


def _reference(axes: Axes, reference: tuple[str, float] | None, x: _Scale) -> None:
    if reference is None:
        return
    (place,) = x([reference[1]])
    axes.axvline(place, color=MUTED, linewidth=0.9, dashes=(4, 3), zorder=0.5)
    low, high = axes.get_xlim()
    right = place > (low + high) / 2
    axes.annotate(
        charts.short(reference[0], 40), (place, 1), xycoords=("data", "axes fraction"),
        xytext=(0, 5), textcoords="offset points", ha="right" if right else "left", color=MUTED,
    )  # fmt: skip


def _ends(values: Sequence[float], log: bool) -> tuple[float, float]:
    """Limits a little outside a grid, so that its first and last tick keep apart."""
    low, high = values[0], values[-1]
    if log:
        pad = (high / low) ** 0.04
        return low / pad, high * pad
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _height(rows: int) -> float:
    return 0.75 + _ROW * rows


class _Scale:
    """Divides the values of an axis so that its ticks are round; ``axis`` says by what."""

    def __init__(self, axis: Axis, values: Sequence[float]) -> None:
        largest = max((abs(value) for value in values), default=1.0)
        self._factor, name = units.scale(largest, axis.unit)
        label = ", ".join(filter(None, (axis.label, name, "logarithmic" if axis.log else "")))
        unit = axis.unit if not name else ""
        self.axis = charts.Axis(label, lambda value: _tick(value, unit), axis.log)

    def __call__(self, values: Iterable[float]) -> list[float]:
        """Of the axis."""
        return [value / self._factor for value in values]


def _tick(value: float, unit: str) -> str:
    if unit in ("count", "parameters") and abs(value) >= 10:
        text = units.format_count(value)
    elif unit == "share":
        text = units.format_share(value)
    else:
        text = units.format_number(value)
    return text.replace("-", "\N{MINUS SIGN}")
