"""Charts are plain SVG that fits into a page: same bytes, own ids, escaped, page colours."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core import charts

POINTS = [
    charts.Point("lora", 8e4, 0.73, 0.70, 0.76, series=0, marked=True),
    charts.Point("bitfit", 4e4, 0.61, 0.58, 0.65, series=1),
    charts.Point("ia3", 1e4, 0.65, series=2, hollow=True),
]
X, Y = charts.Axis("parameters", "{:,.0f}".format, log=True), charts.Axis("accuracy")


def scatter(key: str = "a", points: list[charts.Point] = POINTS, title: str = "Quality") -> str:
    return charts.scatter(points, key=key, title=title, x=X, y=Y, reference=("baseline", 0.55))


def curves() -> str:
    lines = [
        charts.Line("lora", [1, 2, 3], [0.1, 0.4, 0.5], series=0),
        charts.Line("lora", [1, 2, 3], [0.1, 0.3, 0.4], series=0),
        charts.Line("stopped", [1, 2], [0.1, 0.2]),
    ]
    return charts.curves(lines, key="c", title="Curves", x=charts.Axis("step"), y=Y)


def strips() -> str:
    rows = {"memory": [charts.Point("lora", 0.1, 0.0)], "seconds": []}
    return charts.strips(rows, key="s", title="Errors", x=charts.Axis("error"))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(_bare(svg)).iter("text")]


def _bare(svg: str) -> str:
    return svg.replace("xlink:", "")  # HTML needs no namespace, XML does


@pytest.mark.parametrize("draw", [scatter, curves, strips])
def test_the_same_input_gives_the_same_bytes(draw) -> None:
    assert draw() == draw()


@pytest.mark.parametrize("draw", [scatter, curves, strips])
def test_a_chart_is_one_svg_element_without_links_styles_or_dates(draw) -> None:
    svg = draw()
    assert ElementTree.fromstring(_bare(svg)).tag == "svg"
    for unwanted in ("<style", "<metadata", "<script", "http:", "https:", "<?xml", "DOCTYPE"):
        assert unwanted not in svg


def test_the_user_style_of_matplotlib_does_not_change_a_chart() -> None:
    import matplotlib

    before = scatter()
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert scatter() == before


def test_ids_are_unique_across_charts_and_references_stay_inside() -> None:
    svgs = [scatter("a"), scatter("b")]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in svgs]
    assert ids[0].isdisjoint(ids[1])
    for svg, own in zip(svgs, ids, strict=True):
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) != set()
        used = {a or b for a, b in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)}
        assert used <= own


def test_every_colour_follows_the_page() -> None:
    for svg in (scatter(), curves(), strips()):
        outside = re.sub(r"var\(--[a-z0-9-]+, #[0-9a-f]{6}\)", "", svg)
        assert re.findall(r"(?:fill|stroke): #[0-9a-f]{3,6}", outside) == []
    assert "var(--series-1, #0a6b5e)" in scatter()


HOSTILE = '<script>alert("x")</script> $\\frac{a$ & id="y" #0a6b5e'


def test_names_are_escaped_and_kept_as_they_are() -> None:
    svg = scatter(points=[charts.Point(HOSTILE[:20], 1.0, 0.5)], title=HOSTILE)
    assert "<script" not in svg
    assert HOSTILE[:20] in texts(svg)
    assert ElementTree.fromstring(_bare(svg)).get("aria-label") == HOSTILE


def test_a_name_is_never_read_as_a_formula_or_as_markup() -> None:
    name = 'id="y" $\\a #0a6b5e'
    assert name in texts(scatter(points=[charts.Point(name, 1.0, 0.5)]))


def test_text_stays_text_in_the_font_of_the_page() -> None:
    svg = scatter()
    assert {"lora", "bitfit", "ia3", "baseline", "parameters", "accuracy"} <= set(texts(svg))
    assert "var(--chart-font, sans-serif)" in svg
    assert "DejaVu" not in svg


def test_finalists_are_named_once_and_background_lines_never() -> None:
    named = texts(curves())
    assert named.count("lora") == 1
    assert "stopped" not in named


def test_long_names_are_cut_with_an_ellipsis() -> None:
    named = texts(scatter(points=[charts.Point("x" * 60, 1.0, 0.5, marked=True)]))
    assert "x" * 19 + "…" in named


def test_labels_that_fit_nowhere_are_left_out_but_the_marked_one_never() -> None:
    crowd = [charts.Point(f"candidate number {i}", 100.0, 0.5, 0.1, 0.9) for i in range(60)]
    crowd.append(charts.Point("chosen", 100.0, 0.5, marked=True))
    named = texts(scatter(points=crowd))
    assert "chosen" in named
    assert 0 < sum("candidate number" in text for text in named) < 60


@given(st.lists(st.floats(0, 100), max_size=12))
def test_heights_keep_their_gap_order_and_frame(heights: list[float]) -> None:
    placed = charts._apart(sorted(heights), 5.0, 0.0, 100.0)
    assert len(placed) == len(heights)
    assert all(b - a >= 5.0 - 1e-9 for a, b in pairwise(placed))
    assert all(-1e-9 <= height <= 100 + 1e-9 for height in placed)


def test_heights_far_apart_stay_and_a_clash_is_shared_evenly() -> None:
    assert charts._apart([10.0, 50.0], 5.0, 0.0, 100.0) == [10.0, 50.0]
    assert charts._apart([50.0, 50.0], 10.0, 0.0, 100.0) == [45.0, 55.0]


def test_importing_charts_loads_no_matplotlib() -> None:
    code = "import sys, parsimony.core.charts; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
