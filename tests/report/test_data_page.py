"""A page that a command left as data is written, escaped and self-contained, and read again."""

from __future__ import annotations

import re

import pytest
from test_page import EVIL, Page

from parsimony.core import artifacts, pages
from parsimony.core.errors import ArtifactError, InputError
from parsimony.report import write, write_page


def data(name: str = "law", rows: int = 2) -> pages.Page:
    """A page of every part, with ``name`` wherever there is a name."""
    axis = pages.Axis(label=name)
    series = [pages.Series(name=name, x=[1, 2], y=[3, 4], style="ringed", labels=[name, name])]
    plot = pages.Plot(title=name, note=name, x=axis, y=axis, series=series)
    bars = pages.Bars(title=name, x=axis, parts=[name, "rest"], rows=[(name, [1, 2])],
                      limit=(name, 4))  # fmt: skip
    estimate = pages.Estimate(name=name, value=1)
    intervals = pages.Intervals(title=name, x=axis, rows=[estimate], reference=(name, 0))
    contours = pages.Contours(title=name, x=axis, y=axis, xs=[1, 2], ys=[1, 2], z=[[0, 1], [1, 2]],
                              levels=[0.5], region=(name, 0.5))  # fmt: skip
    table = pages.Table(
        columns=[pages.Column(name=name), pages.Column(name="memory", unit="bytes")],
        rows=[[name, 2**30], [None, None]] * (rows // 2),
    )
    section = pages.Section(title=name, text=name, figures=[plot, bars], table=table)
    other = pages.Section(title="Other", figures=[intervals, contours])
    return pages.Page(
        command="plan fit", title=name, summary=name, sections=[section, other], notes=[name]
    )


def built(page: pages.Page, tmp_path) -> Page:
    write_page(page, tmp_path / "page.html")
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_every_part_of_the_page_is_shown(tmp_path) -> None:
    page = built(data(), tmp_path)
    assert page.errors == [] and page.open == []
    assert set(page.sections) >= {"summary", "section-1", "section-2", "notes"}
    assert "1 GiB" in page.sections["section-1"] and "\N{EN DASH}" in page.sections["section-1"]
    assert "◉ law" in page.sections["section-1"] and "■ rest" in page.sections["section-1"]
    names = [name for name, _ in page.tags]
    assert names.count("figure") == names.count("figcaption") == 4
    assert names.count("h1") == 1
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {a["href"].removeprefix("#") for n, a in page.tags if n == "a"}
    assert links == {"section-1", "section-2", "notes"} <= set(ids)
    assert all(a.get("scope") in {"col", "row"} for n, a in page.tags if n == "th")


def test_only_a_long_table_has_a_filter(tmp_path) -> None:
    def filters(rows: int) -> int:
        page = built(data(rows=rows), tmp_path)
        return sum("data-filter" in attrs for _, attrs in page.tags)

    assert (filters(20), filters(22)) == (0, 1)


def test_the_page_asks_for_nothing(tmp_path) -> None:
    page = built(data(), tmp_path)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r"https?:|//cdn|@import|url\((?!#)", html) == []
    for name, attrs in page.tags:
        assert name not in {"img", "iframe", "object", "embed"}
        assert attrs.get("src") is None
    assert "default-src 'none'" in html and "script-src 'sha256-" in html


def test_everything_that_the_page_says_is_escaped(tmp_path) -> None:
    page = built(data(EVIL), tmp_path)
    assert page.errors == []
    names = [name for name, _ in page.tags]
    assert names.count("script") == 1 and "img" not in names
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    shown = " ".join(page.sections.values())
    assert "<script>alert(1)</script>" in shown and "{{ 7 * 7 }}" in shown


def test_a_run_that_keeps_a_page_is_reported_from_it_and_stays_sealed(tmp_path) -> None:
    run = tmp_path / "run"
    artifacts.write_json(run / pages.FILE, data().model_dump(mode="json"))
    artifacts.seal(run)
    target = write(run)
    assert target == run / "report.html"
    assert artifacts.verify(run)["files"]["report.html"]
    write_page(data(), tmp_path / "direct.html")
    assert target.read_bytes() == (tmp_path / "direct.html").read_bytes()


def test_what_is_no_page_names_the_file_and_the_key(tmp_path) -> None:
    broken = data().model_dump(mode="json")
    broken["sections"][0]["figures"][0]["series"][0]["x"] = ["one", 2]
    artifacts.write_json(tmp_path / pages.FILE, broken)
    with pytest.raises(ArtifactError, match=r"page.json: sections.0.figures.0.plot.series.0.x.0"):
        write(tmp_path)


def test_a_page_overwrites_nothing_but_a_page(tmp_path) -> None:
    with pytest.raises(InputError, match=r"the report is a file that ends in \.html, but got"):
        write_page(data(), tmp_path / "page.pdf")
