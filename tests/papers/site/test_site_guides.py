"""Docs become pages: links go on, pictures come along, HTML and outside pictures do not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from parsimony.core.errors import InputError
from parsimony.papers.site import guides


@pytest.fixture(scope="module")
def read(world: SimpleNamespace) -> dict[str, guides.Guide]:
    return {g.name: g for g in guides.read(world.docs, {"adapt", "plan"})}


def test_links_lead_to_pages_of_the_site_or_lose_their_address(read) -> None:
    html = read["adapt"].html
    assert '<a href="plan.html#two-words">planning</a>' in html
    assert '<a href="plan.html">Planning `it`</a>' in html
    assert '<a href="https://arxiv.org/abs/2406.00210">arXiv</a>' in html
    assert "code," in html and "src/x.py" not in html
    assert 'href="javascript' not in html


def test_pictures_of_the_folder_come_along_and_others_are_words(read) -> None:
    assert read["adapt"].pictures == ("figures/one.svg",)
    assert read["adapt"].html.count("<img") == 1
    assert "far" in read["adapt"].html and "example.org" not in read["adapt"].html


def test_html_in_a_page_is_text(read) -> None:
    assert "<script" not in read["adapt"].html and "&lt;script&gt;" in read["adapt"].html
    assert "printed &lt;b&gt;" in read["adapt"].html


def test_code_can_be_copied_and_output_is_set_apart(read) -> None:
    assert '<div class="snippet"><pre tabindex="0"><code>parsimony adapt' in read["adapt"].html
    assert '<div class="output"><pre tabindex="0"><code>printed' in read["adapt"].html


def test_headings_have_anchors_of_their_own(read) -> None:
    assert read["plan"].sections == (("two-words", "Two words"), ("two-words-1", "Two words"))
    assert guides.anchor("A run, timed (`fast`)") == "a-run-timed-fast"
    assert '<div class="scroll" role="region"' in read["plan"].html


def test_the_area_is_that_of_most_of_its_commands(read) -> None:
    assert {name: g.area for name, g in read.items()} == {
        "adapt": "adapt", "plan": "plan", "more": None,
    }  # fmt: skip


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs pages that end in \.md"):
        guides.read(tmp_path)
