"""The site in a real browser, from the file system: it finds, filters, and asks nobody else."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_site import write_world

from parsimony.papers.site import render, search
from parsimony.papers.site.build import build
from parsimony.testing import browser as chromium

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as running:
        yield running


@pytest.fixture
def visit(browser, world):
    """Open a page of the site; fail on a console message, an error, or a request to elsewhere."""
    noise, opened = chromium.Noise(), []

    def open_page(
        name: str = "index.html", width: int = 1280, scheme: str = "light", site: Path | None = None
    ):
        opened.append(chromium.visit(browser, (site or world.site) / name, noise, width, scheme))
        return opened[-1]

    yield open_page
    for page in opened:
        assert "owned" not in page.title().replace("='owned'", "")
        page.context.close()
    assert opened and noise.messages == [] and noise.outside == []


@pytest.fixture(scope="module")
def real(world: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the package's own cards and docs."""
    site = tmp_path_factory.mktemp("real") / "site"
    build(site, docs=Path(__file__).parents[3] / "docs", embed=world.embed)
    return site


def titles(page) -> list[str]:
    """The titles that are listed, in order."""
    return [t.partition(" <")[0] for t in page.locator("#list h3").all_inner_texts()]


def test_search_finds_by_every_word_and_by_beginnings(visit) -> None:
    page = visit()
    field = page.get_by_label("Search the papers")
    field.fill("zebra")
    assert titles(page) == ["A kept word"]
    assert page.locator("output").first.inner_text() == "1 of 5 papers"
    field.fill("word broken")
    assert titles(page) == ["A broken word"]
    field.fill("counted twice")  # the note of a result
    assert set(titles(page)) == {"A kept word", "A broken word", "An old word"}
    field.fill("BJORK 2406.00210")
    assert titles(page) == ["A kept word"]
    field.fill("xylophone")
    assert titles(page) == [] and page.get_by_text("Nothing matches").is_visible()
    field.fill("  ...  ")
    assert len(titles(page)) == 5


def test_a_title_counts_more_than_a_note(visit, world, tmp_path: Path) -> None:
    made = write_world(tmp_path)
    card = made.cards / "old_word.py"
    card.write_text(card.read_text().replace("An old word", "Counted at last"))
    build(tmp_path / "site", cards=made.cards, results=made.results, embed=world.embed)
    page = visit(site=tmp_path / "site")
    page.get_by_label("Search the papers").fill("counted")
    assert titles(page)[0] == "Counted at last" and len(titles(page)) == 3
    assert page.get_by_label("Order").input_value() == "match"


def test_filters_filter_and_orders_order(visit) -> None:
    page = visit()
    assert titles(page)[0] == "No word yet"
    page.get_by_label("plan 1").check()
    assert titles(page) == ["A broken word"]
    page.get_by_label("serve 1").check()
    assert titles(page) == ["No word yet", "A broken word"]  # either
    page.get_by_label("red 2").check()
    assert titles(page) == ["A broken word"]  # and both kinds
    page.get_by_role("button", name="Clear").click()
    playwright.expect(page.locator("#list li")).to_have_count(5)
    page.get_by_label("Order").select_option("state")
    assert titles(page) == ["A broken word", "Hostile", "An old word", "No word yet", "A kept word"]
    page.get_by_label("Order").select_option("run")
    assert titles(page)[0] == "A broken word"


def test_the_address_keeps_what_was_asked(visit, world) -> None:
    page = visit()
    page.get_by_label("Search the papers").fill("word")
    page.get_by_label("adapt 4").check()
    assert page.url.endswith("#q=word&area=adapt")
    again = visit("red.html")
    again.goto((world.site / "index.html").as_uri() + "#q=word&area=adapt&order=state")
    assert titles(again) == ["A broken word", "An old word", "A kept word"]
    assert again.get_by_label("adapt 4").is_checked()
    area = visit("areas/plan.html")
    area.get_by_role("link", name="Search them").click()
    playwright.expect(area.locator("#list li")).to_have_count(1)
    assert titles(area) == ["A broken word"]


def test_everything_is_reached_by_keyboard(visit) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("word")
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == titles(page)[1]
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Escape")
    assert page.get_by_label("Search the papers").input_value() == ""
    seen = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.name || document.activeElement.id"))
    assert {"order", "area", "state"} <= seen
    page.get_by_label("Search the papers").fill("zebras")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_url("**/papers/kept-word.html")


def test_commands_and_entries_are_copied_or_selected(visit) -> None:
    page = visit("papers/kept-word.html")
    buttons = page.locator(".snippet button")
    assert buttons.count() == 3  # two levels and the entry
    buttons.first.click()
    playwright.expect(buttons.first).not_to_have_text("Copy")
    if buttons.first.inner_text() == "Selected":
        chosen = page.evaluate("getSelection().toString()")
        assert chosen.strip() == "parsimony papers reproduce kept-word --level exact"


def test_the_claims_sort_and_filter(visit, real) -> None:
    page = visit("papers/power-scheduler.html", site=real)
    rows = page.locator("table.claims tbody tr:visible")
    assert rows.count() == 23
    page.get_by_label("Filter the claims").fill("muP cpu")
    assert 1 <= rows.count() < 10
    page.get_by_label("Filter the claims").fill("")
    page.get_by_role("button", name="Sort by State").click()
    assert rows.first.locator(".state").inner_text().endswith("red")


def test_more_papers_than_the_page_has_are_made_by_the_script(
    visit, world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parsimony.papers.site.build.SHOWN", 2)
    monkeypatch.setattr(render, "SHOWN", 2)
    site = tmp_path / "site"
    build(site, cards=world.cards, results=world.results, embed=world.embed)
    script = (site / "assets/site.js").read_text()
    (site / "assets/site.js").write_text(script.replace("STEP = 80", "STEP = 3"))
    assert '"rows":[]' not in (site / "assets/index.js").read_text()
    page, whole = visit(site=site), visit()
    assert page.locator("#list li").count() == 3
    page.get_by_role("button", name="Show more").click()
    assert page.locator("#list li").count() == 5
    assert page.evaluate("document.activeElement.textContent").startswith("Hostile")
    said = [
        [re.sub(r"\s+", "", text) for text in p.locator("#list > li").all_text_contents()]
        for p in (page, whole)
    ]
    assert said[0] == said[1]
    links = "links => links.map(link => link.getAttribute('href'))"
    assert page.eval_on_selector_all("#list a", links) == whole.eval_on_selector_all(
        "#list a", links
    )


def test_without_script_the_list_is_there(browser, world) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((world.site / "index.html").as_uri())
    assert len(titles(page)) == 5
    assert not page.locator(".finder").is_visible()
    context.close()


PAGES = (
    "index.html", "red.html", "areas/index.html", "areas/adapt.html", "docs/index.html",
    "docs/plan.html", "docs/commands.html", "papers/power-scheduler.html", "papers/pllava.html",
)  # fmt: skip
WEIGHED = (
    "index.html", "red.html", "areas/adapt.html", "docs/adapt.html", "papers/broken-word.html",
)  # fmt: skip


@pytest.mark.parametrize("width", [360, 1280])
def test_real_pages_fit(visit, real, width: int) -> None:
    for name in PAGES:
        page = visit(name, width, "dark", real)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_every_kind_of_page_is_accessible(visit, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for name in WEIGHED:
        page = visit(name, width, scheme)
        found = axe.run(page, options={"preload": False}).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == [], name


@pytest.mark.parametrize("name", ["index.html", "papers/hostile.html", "red.html"])
def test_a_hostile_card_fits_and_runs_nothing(visit, name: str) -> None:
    page = visit(name, 360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("img").count() == 0
    page.wait_for_timeout(50)


def test_search_in_ten_thousand_rows_answers_at_once(browser, write_card, tmp_path: Path) -> None:
    from parsimony.papers.site import content

    paper = content.paper(write_card(), {})
    other = content.paper(write_card(title="A single zebra"), {})
    big = content.Catalogue((*[paper] * 9_999, other))
    (tmp_path / "assets").mkdir()
    for file in render.ASSETS:
        (tmp_path / "assets" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "assets/index.js").write_text(search.script(big, render.SHOWN))
    (tmp_path / "index.html").write_text(render.Renderer(big).home())
    noise = chromium.Noise()
    page = chromium.visit(browser, tmp_path / "index.html", noise)
    took = page.evaluate("""() => {
        const start = performance.now();
        document.getElementById("q").value = "zebra";
        document.getElementById("q").dispatchEvent(new Event("input", {bubbles: true}));
        return performance.now() - start;
    }""")
    assert titles(page) == ["A single zebra"]
    assert took < 500
    page.context.close()
    assert noise.messages == []
