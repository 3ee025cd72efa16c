"""The folder: whole, deterministic, self-contained, and never written over something else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from small_site import EVIL, write_world

from parsimony.core import artifacts
from parsimony.core.errors import InputError
from parsimony.papers.site import build as building
from parsimony.papers.site.build import MARKER, build


class Links(HTMLParser):
    """Collects addresses and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.links.append((tag, value or ""))
            if name == "id":
                self.anchors.append(value or "")


@pytest.fixture(scope="module")
def pages(world: SimpleNamespace) -> dict[Path, Links]:
    return {f: Links(f.read_text(encoding="utf-8")) for f in world.site.rglob("*.html")}


def test_every_page_is_there(world: SimpleNamespace) -> None:
    names = {f.relative_to(world.site).as_posix() for f in world.site.rglob("*") if f.is_file()}
    assert {
        "index.html", "red.html", "feed.xml", "index.json", "areas/index.html", "areas/plan.html",
        "papers/kept-word.html", "papers/kept-word.json", "docs/index.html", "docs/plan.html",
        "docs/figures/one.svg", "assets/index.js", "assets/site.js", "assets/table.js",
        "assets/page.css", "assets/site.css", "vectors.safetensors", "manifest.json",
    } <= names  # fmt: skip
    assert world.built.papers == 5 and world.built.files == len(names) - 2  # marker, manifest
    assert artifacts.verify(world.site)["kind"] == "site"


def test_every_link_inside_resolves(pages: dict[Path, Links]) -> None:
    broken = []
    for file, page in pages.items():
        for _, link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("https", "data"):
                continue
            assert not parts.scheme, f"{file}: {link}"
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchors = pages[target].anchors if target in pages else []
            stated = parts.fragment and "=" not in parts.fragment  # a question to the search else
            if not target.is_file() or (stated and parts.fragment not in anchors):
                broken.append(f"{file.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Links], world) -> None:
    for file, page in pages.items():
        loaded = [link for tag, link in page.links if tag in ("script", "link", "img")]
        assert all(not urlsplit(link).scheme or link == "data:," for link in loaded), file
        assert len(page.anchors) == len(set(page.anchors)), file
    for sheet in world.site.rglob("*.css"):
        assert "url(" not in sheet.read_text() and "@import" not in sheet.read_text()


def test_hostile_text_is_text(pages: dict[Path, Links], world: SimpleNamespace) -> None:
    for file, page in pages.items():
        assert EVIL not in file.read_text(encoding="utf-8"), file
        assert page.tags.count("script") <= 3
        assert not any(link.lower().startswith("javascript") for _, link in page.links)
    kept = json.loads((world.site / "papers/hostile.json").read_text())
    assert kept["title"] == f"Hostile {EVIL}"


def test_the_json_has_what_the_pages_show(world: SimpleNamespace) -> None:
    listed = json.loads((world.site / "index.json").read_text())["papers"]
    assert [p["slug"] for p in listed][:2] == ["no-word", "kept-word"]
    assert listed[1]["levels"]["exact"] == {"state": "green", "claims": 1, "run": 1, "passed": 1}
    whole = json.loads((world.site / "papers/broken-word.json").read_text())
    assert [r["passed"] for r in whole["claims"][1]["results"]] == [True, False]
    assert len(whole["related"]) == 4 and whole["deviations"]


def test_equal_inputs_give_equal_bytes(world: SimpleNamespace, tmp_path: Path) -> None:
    again = tmp_path / "again"
    build(again, docs=world.docs, cards=world.cards, results=world.results, embed=world.embed)
    assert artifacts.hash_folder(again) == artifacts.hash_folder(world.site)


def fresh(tmp_path: Path) -> tuple[SimpleNamespace, Path]:
    return write_world(tmp_path), tmp_path / "site"


def test_what_was_removed_goes_and_what_others_put_there_stays(world, tmp_path: Path) -> None:
    made, site = fresh(tmp_path)
    run = {"cards": made.cards, "results": made.results, "embed": world.embed}
    build(site, docs=made.docs, **run)
    (site / "CNAME").write_text("papers.example.org")
    (made.cards / "old_word.py").unlink()
    unchanged = (site / "assets/table.js").stat().st_mtime_ns
    build(site, **run)
    assert not (site / "papers/old-word.html").exists() and not (site / "docs/plan.html").exists()
    assert (site / "CNAME").is_file()
    assert (site / "assets/table.js").stat().st_mtime_ns == unchanged
    artifacts.verify(site)


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json"])
def test_a_folder_that_is_no_site_is_left_alone(world, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("{}")
    with pytest.raises(InputError, match=r"a site is written to a new or empty folder") as caught:
        build(tmp_path / "mine", cards=world.cards, results=world.results, embed=world.embed)
    assert "Choose another --out" in str(caught.value)
    assert [f.name for f in (tmp_path / "mine").iterdir()] == [name]


def test_a_stopped_build_is_no_whole_site_and_can_be_repeated(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, site = fresh(tmp_path)
    run = {"cards": made.cards, "results": made.results, "embed": world.embed}
    build(site, docs=made.docs, **run)
    written = artifacts.write_bytes
    left = [5]

    def stops(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        written(path, data)

    (made.cards / "kept_word.py").write_text(
        (made.cards / "kept_word.py").read_text().replace("zebras", "okapis")
    )
    monkeypatch.setattr(artifacts, "write_bytes", stops)
    with pytest.raises(KeyboardInterrupt):
        build(site, **run)
    monkeypatch.undo()
    assert not artifacts.is_sealed(site)
    build(site, **run)
    artifacts.verify(site)
    assert not (site / "docs").exists() or not list((site / "docs").rglob("*.html"))
    assert "okapis" in (site / "index.html").read_text()


@pytest.mark.parametrize("base", ["example.org", "javascript:alert(1)", 'https://x/">'])
def test_a_base_that_is_no_address_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="begins with https:// or http://"):
        build(tmp_path / "site", base=base)
    assert building.check_base("https://example.org/p") == "https://example.org/p/"


def test_a_path_of_the_marker_cannot_leave_the_folder(world, tmp_path: Path) -> None:
    site, precious = tmp_path / "site", tmp_path / "precious.txt"
    precious.write_text("mine")
    site.mkdir()
    (site / MARKER).write_text(json.dumps({"files": ["../precious.txt"]}))
    with pytest.raises(InputError, match="a path must stay inside"):
        build(site, cards=world.cards, results=world.results, embed=world.embed)
    assert precious.read_text() == "mine"


def test_the_real_site_links_to_itself_and_its_home_is_light(world, tmp_path: Path) -> None:
    docs = Path(__file__).parents[3] / "docs"
    site = tmp_path / "site"
    build(site, docs=docs, embed=world.embed)
    pages = {f: Links(f.read_text(encoding="utf-8")) for f in site.rglob("*.html")}
    test_every_link_inside_resolves(pages)
    test_nothing_is_loaded_from_elsewhere(pages, SimpleNamespace(site=site))
    home = (site / "index.html").read_text()
    loaded = [site / name for name in re.findall(r'(?:src|href)="(assets/[^"]+)"', home)]
    assert len(loaded) == 5
    assert len(home.encode()) + sum(f.stat().st_size for f in loaded) < 200_000
