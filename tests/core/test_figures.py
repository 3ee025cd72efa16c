# ruff: noqa: RUF001  (a chart writes a true minus sign)
"""Figures say in SVG what their data says: bands, bars, contours and names at their places."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from test_page_data import FIGURES

from parsimony.core import figures
from parsimony.core.pages import Axis, Bars, Contours, Estimate, Figure, Intervals, Plot, Series

ACROSS, ALONG = Axis(label="x"), Axis(label="y")


def tree(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("xlink:", ""))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in tree(svg).iter("text")]


def drawn(svg: str, style: str) -> list[list[tuple[float, float]]]:
    """Corners of every path whose style holds ``style``, in points from the top left."""
    found, shapes = [], {}
    for element in tree(svg).iter():
        shapes["#" + str(element.get("id"))] = element.get("d", "")
        if style in element.get("style", "") and element.tag in ("path", "use"):
            path = element.get("d") or shapes[str(element.get("href"))]
            numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]
            across, down = (float(element.get(name, 0)) for name in "xy")
            corners = zip(numbers[::2], numbers[1::2], strict=True)
            found.append([(x + across, y + down) for x, y in corners])
    return found


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.kind)
def test_a_figure_is_one_svg_in_the_colours_of_the_page(figure: Figure) -> None:
    svg = figures.draw(figure, "a")
    assert svg == figures.draw(figure, "a")
    assert tree(svg).tag == "svg" and tree(svg).get("aria-label") == figure.title
    for unwanted in ("<style", "<metadata", "<script", "http:", "https:", "<?xml", "DOCTYPE"):
        assert unwanted not in svg
    outside = re.sub(r"var\(--[a-z0-9-]+, #[0-9a-f]{6}\)", "", svg)
    assert re.findall(r"(?:fill|stroke): #[0-9a-f]{3,6}", outside) == []
    ids = [set(re.findall(r'\bid="([^"]+)"', figures.draw(figure, key))) for key in "ab"]
    assert ids[0].isdisjoint(ids[1])


def band(low: list[float], high: list[float]) -> str:
    series = Series(name="law", x=[0, 1, 2], y=[1, 1, 1], low=low, high=high, style="line")
    frame = Series(name="frame", x=[0, 2], y=[0, 2])  # holds the axis in place
    return figures.draw(Plot(title="t", x=ACROSS, y=ALONG, series=[series, frame]), "b")


def test_a_band_reaches_from_its_low_to_its_high_end() -> None:
    (line,) = drawn(band([0, 0, 0], [2, 2, 2]), "stroke: var(--series-1")
    (whole,) = drawn(band([0, 0, 0], [2, 2, 2]), "fill-opacity: 0.18")
    (half,) = drawn(band([0.5, 0.5, 0.5], [1.5, 1.5, 1.5]), "fill-opacity: 0.18")
    middle = line[0][1]
    top, bottom = min(y for _, y in whole), max(y for _, y in whole)
    assert middle - top == pytest.approx(bottom - middle, abs=1e-3)
    assert {round(abs(y - middle), 3) for _, y in half} == {round((middle - top) / 2, 3)}
    assert min(x for x, _ in whole) == pytest.approx(line[0][0])
    assert max(x for x, _ in whole) == pytest.approx(line[-1][0])


def test_an_interval_of_a_point_is_drawn_to_scale() -> None:
    points = Series(name="runs", x=[0, 2], y=[0, 2], low=[0, 1], high=[1, 2])
    svg = figures.draw(Plot(title="t", x=ACROSS, y=ALONG, series=[points]), "p")
    first, second = drawn(svg, "stroke-opacity: 0.7")
    assert abs(first[0][1] - first[1][1]) == pytest.approx(abs(second[0][1] - second[1][1]))
    assert first[1][1] == pytest.approx(second[0][1])  # the first ends where the second begins


def test_parts_of_a_bar_are_stacked_to_scale_and_the_sum_stands_beside_it() -> None:
    gib = 2.0**30
    bars = Bars(title="t", x=Axis(label="memory", unit="bytes"), parts=["weights", "states"],
                rows=[("a stage", [3 * gib, 6 * gib]), ("another", [0, 12 * gib])],
                limit=("a device", 16 * gib))  # fmt: skip
    svg = figures.draw(bars, "b")
    first = drawn(svg, "fill: var(--series-1")[0]
    second = drawn(svg, "fill: var(--series-2")[0]
    wide = [max(x for x, _ in part) - min(x for x, _ in part) for part in (first, second)]
    assert wide[1] == pytest.approx(2 * wide[0])
    assert min(x for x, _ in second) == pytest.approx(max(x for x, _ in first))
    assert {"a stage", "another", "a device", "9 GiB", "12 GiB", "memory, GiB"} <= set(texts(svg))
    assert figures.legend(bars) == [("■", 0, "weights"), ("■", 1, "states")]


def test_a_bar_of_one_part_needs_no_legend() -> None:
    assert figures.legend(Bars(title="t", x=ACROSS, parts=["all"], rows=[("a", [1])])) == []


def test_contours_lie_where_z_has_their_level() -> None:
    grid = [float(i) for i in range(11)]
    plane = Contours(title="t", x=ACROSS, y=ALONG, xs=grid, ys=grid, z=[grid] * 11, levels=[2.0],
                     unit="share", region=("low", 2.0),
                     series=[Series(name="corner", x=[0], y=[0])])  # fmt: skip
    svg = figures.draw(plane, "c")
    (region,) = drawn(svg, "fill-opacity: 0.2")
    (ends,) = drawn(figures.draw(plane.model_copy(update={"region": ("all", 10.0)}), "c"),
                    "fill-opacity: 0.2")  # fmt: skip
    left, right = min(x for x, _ in ends), max(x for x, _ in ends)
    assert max(x for x, _ in region) == pytest.approx(left + 0.2 * (right - left), abs=0.01)
    assert min(x for x, _ in region) == pytest.approx(left)
    assert "200%" in texts(svg)
    assert figures.legend(plane) == [("▓", 0, "low"), ("■", 1, "corner")]


def test_a_region_that_is_nowhere_is_not_drawn() -> None:
    flat = Contours(title="t", x=ACROSS, y=ALONG, xs=[0, 1], ys=[0, 1], z=[[3, 4], [5, 6]],
                    levels=[4.5], region=("low", 2.0))  # fmt: skip
    assert drawn(figures.draw(flat, "c"), "fill-opacity: 0.2") == []


def test_points_over_contours_keep_their_colour_without_a_region() -> None:
    best = [Series(name="best", x=[0.5], y=[0.5])]
    bare = Contours(title="t", x=ACROSS, y=ALONG, xs=[0, 1], ys=[0, 1], z=[[3, 4], [5, 6]],
                    levels=[4.5], series=best)  # fmt: skip
    assert figures.legend(bare) == [("■", 1, "best")]
    assert "var(--series-2" in figures.draw(bare, "c")


def test_estimates_lie_on_one_scale_with_their_intervals() -> None:
    rows = [Estimate(name="one", value=-1, low=-2, high=0), Estimate(name="two", value=2)]
    svg = figures.draw(
        Intervals(title="t", x=ACROSS, rows=rows, reference=("no difference", 0)), "i"
    )
    (interval,) = drawn(svg, "stroke: var(--series-1")
    (reference,) = [line for line in drawn(svg, "stroke-dasharray") if len(line) == 2]
    assert interval[1][0] == pytest.approx(reference[0][0])  # the interval ends at zero
    dots = [float(use.get("x", "")) for use in tree(svg).iter("use")
            if "--series-1" in use.get("style", "")]  # fmt: skip
    assert (dots[1] - dots[0]) == pytest.approx(3 * (interval[1][0] - interval[0][0]) / 2)
    assert {"one", "two", "no difference"} <= set(texts(svg))


@pytest.mark.parametrize(
    ("unit", "values", "label", "tick"),
    [
        ("bytes", [2**30, 2**33], "y, GiB", "8"),
        ("seconds", [600, 7000.0], "y, min", "100"),
        ("share", [-0.1, 0.1], "y", "−10%"),
        ("count", [0, 4e9], "y", "4B"),
        ("J", [0, 5.0], "y, J", "5"),
    ],
)
def test_an_axis_has_round_ticks_in_a_unit_that_fits(
    unit: str, values: list[float], label: str, tick: str
) -> None:
    series = [Series(name="s", x=[0, 1], y=values)]
    svg = figures.draw(Plot(title="t", x=ACROSS, y=Axis(label="y", unit=unit), series=series), "u")
    assert {label, tick} <= set(texts(svg))


@pytest.mark.parametrize("ends", [(2.1, 2.4), (1.2, 4.8), (3.0, 300.0), (1e-5, 1e3)])
def test_a_logarithmic_axis_has_ticks_however_short_it_is(ends: tuple[float, float]) -> None:
    series = [Series(name="s", x=[1, 2], y=list(ends))]
    axis = Axis(label="loss", log=True)
    svg = figures.draw(Plot(title="t", x=ACROSS, y=axis, series=series), "l")
    left = [text for text in tree(svg).iter("text") if float(text.get("x", 0)) < 40]
    heights = [float(t.get("y", "")) for t in left if re.fullmatch(r"[\d.e−]+", t.text or "")]
    assert "loss, logarithmic" in texts(svg)
    assert len(heights) >= 2
    assert all(abs(a - b) > 6 for a, b in pairwise(sorted(heights)))


HOSTILE = '<script>alert(1)</script> $\\a & "y"'


def test_names_are_escaped_and_only_given_labels_are_written() -> None:
    series = [
        Series(name="runs", x=[1, 5], y=[1, 5], labels=["", HOSTILE[:20]]),
        Series(name="equal", x=[1, 5], y=[1, 5], style="dashed"),
        Series(name="no", x=[3], y=[1], style="hollow"),
        Series(name="chosen", x=[4], y=[2], style="ringed"),
    ]
    plot = Plot(title=HOSTILE, x=Axis(label=HOSTILE), y=ALONG, series=series)
    svg = figures.draw(plot, "h")
    assert "<script" not in svg and HOSTILE in texts(svg) and HOSTILE[:20] in texts(svg)
    assert [(sign, colour) for sign, colour, _ in figures.legend(plot)] == [
        ("●", 0), ("╍", None), ("□", 1), ("◉", 2)
    ]  # fmt: skip
