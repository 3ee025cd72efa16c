"""The page in a real browser: quiet, self-contained, sortable by keyboard, never too wide."""

from __future__ import annotations

import copy

import pytest

from parsimony.plan.pages import sparse
from parsimony.plan.sparse_pretraining import plan_sparse, sweep
from parsimony.report import write, write_page
from parsimony.testing import browser as chromium

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as running:
        yield running


@pytest.fixture
def visit(browser, make_run):
    """Open the report; fail on any console message, page error or request but the page itself."""
    noise = chromium.Noise()
    pages = []

    def open_page(result=None, width: int = 1280, scheme: str = "light"):
        page_file = write(make_run(result, name=f"run{len(pages)}"))
        pages.append(chromium.visit(browser, page_file, noise, width, scheme))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()
    assert len(pages) >= 1
    assert noise.messages == []
    assert noise.outside == []
    assert sum(url.startswith("file://") for url in noise.requests) == len(pages)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_never_wider_than_the_window(visit, result_json, width, scheme) -> None:
    long = copy.deepcopy(result_json)
    long["model"]["name"] = "organisation/" + "m" * 80
    long["baseline"]["candidate"] = "b" * 60
    long["recommendation"]["load"] = "x = 1  # " + "long " * 60
    for result in (result_json, long):
        page = visit(result, width=width, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def first_column(page, table: str) -> list[str]:
    return page.eval_on_selector_all(
        f"{table} tbody tr", "rows => rows.map(row => row.cells[0].dataset.value)"
    )


def test_sorting_works_from_the_keyboard(visit) -> None:
    page = visit()
    ranked = first_column(page, ".board")
    button = page.get_by_role("button", name="Sort by Trainable", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    ascending = first_column(page, ".board")
    assert ascending[0] == "linear-probe"
    assert ascending[-1] == "lora r=16"
    header = page.locator(".board thead th", has_text="Trainable")
    assert header.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert first_column(page, ".board") == ascending[::-1]
    assert header.get_attribute("aria-sort") == "descending"
    page.locator(".board thead th", has_text="Test accuracy").click()
    assert first_column(page, ".board") == ranked[::-1]
    assert header.get_attribute("aria-sort") is None


def test_unknown_values_sort_last_in_both_directions(visit) -> None:
    page = visit()
    for _ in range(2):
        page.get_by_role("button", name="Sort by Peak memory").click()
        assert first_column(page, ".board")[-1] == "ia3"


def test_filtering_needs_every_word_and_counts(visit) -> None:
    page = visit()
    page.get_by_label("Filter the search").fill("LORA r=4 stopped")
    rows = page.locator("table[data-filter='Filter the search'] tbody tr:visible")
    assert rows.count() == 1
    assert "0.0006" in rows.first.inner_text()
    assert page.locator(".tools output").first.inner_text() == "1 of 24"


def test_the_copy_button_copies_or_selects(visit, result_json) -> None:
    page = visit()
    page.get_by_role("button", name="Copy").click()
    button = page.locator(".snippet button")
    page.wait_for_function("document.querySelector('.snippet button').textContent !== 'Copy'")
    if button.inner_text() == "Selected":
        code = result_json["recommendation"]["load"]
        assert page.evaluate("getSelection().toString()").split() == code.split()


def test_where_the_clipboard_is_refused_the_code_is_selected(visit, result_json) -> None:
    page = visit()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }")
    page.get_by_role("button", name="Copy").click()
    page.wait_for_function("document.querySelector('.snippet button').textContent === 'Selected'")
    code = result_json["recommendation"]["load"]
    assert page.evaluate("getSelection().toString()").split() == code.split()


def test_dark_and_light_recolour_the_charts(visit) -> None:
    colour = "getComputedStyle(document.querySelector('.chart text')).fill"
    assert visit(scheme="light").evaluate(colour) != visit(scheme="dark").evaluate(colour)


def test_on_paper_the_colours_are_light_and_the_controls_gone(visit) -> None:
    page = visit(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 28, 26)"
    for control in ("nav", ".tools", ".snippet button", "thead button"):
        assert not page.locator(control).first.is_visible()


def test_hostile_names_run_nothing(visit, result_json) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    for row in result_json["leaderboard"]:
        row["candidate"] += evil
    result_json["recommendation"]["candidate"] += evil
    page = visit(result_json)
    assert "owned" not in page.title().replace(evil, "")
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_a_page_of_a_plan_is_quiet_and_fits(browser, tmp_path, width: int, scheme: str) -> None:
    found = plan_sparse(sparsity=0.8, compute=1e21)
    others = sweep(params=1e9, dense_steps=found.schedule.compute, batch=found.batch)
    target = tmp_path / "plan.html"
    write_page(sparse.page(found, others, ["a note " + "x" * 120]), target)
    noise = chromium.Noise()
    page = chromium.visit(browser, target, noise, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.chart").count() == 3
    page.get_by_role("button", name="Sort by loss").click()
    page.get_by_label("Filter the table").first.fill("80% 12.5%")
    assert page.locator("table").first.locator("tbody tr:visible").count() == 4
    page.context.close()
    assert noise.messages == [] and noise.outside == []
