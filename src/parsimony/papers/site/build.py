"""Writes the site as a folder that any browser opens, from the file system or from any web server.

The folder is ours when it has the marker, a list of the files that were put there; no other file in
it is touched. The manifest is written last. Equal cards, results and docs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsimony.core import artifacts
from parsimony.core.errors import InputError
from parsimony.papers.site import feed, guides, meaning, search
from parsimony.papers.site.content import Catalogue, Paper, read
from parsimony.papers.site.render import ASSETS, SHOWN, Renderer

MARKER = ".parsimony-site"


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        folder: where.
        papers: how many have a page.
        files: how many there are.
        bytes: of them all.
    """

    folder: Path
    papers: int
    files: int
    bytes: int


def build(
    out: Path,
    docs: Path | None = None,
    base: str | None = None,
    cards: Path | None = None,
    results: Path | None = None,
    embed: meaning.Embed | None = None,
) -> Site:
    """Write the site to ``out``.

    Args:
        out: a new or empty folder, or one that this function wrote before.
        docs: folder of the pages to render as guides; ``None`` leaves them out.
        base: address the site will have, for the feed.
        cards, results: folders, the package's own by default.
        embed: makes vectors of texts, the built-in model by default.

    Raises:
        InputError: ``out`` holds something else, or ``base`` is no web address.
        DataError: a card cannot be read.
        MissingExtraError: a package of the extra ``papers`` is not installed.
    """
    base = check_base(base)
    owned = _claim(out)
    catalogue = read(cards, results)
    texts = {paper.slug: paper.meaning for paper in catalogue.papers}
    embed = embed or meaning.embed
    vectors = meaning.vectors(texts, out / meaning.FILE, embed)
    slugs = list(texts)
    near = {
        slug: [slugs[other] for other in row]
        for slug, row in zip(slugs, meaning.related(vectors), strict=True)
    }
    read_guides = guides.read(docs, {*catalogue.areas, "papers"} - {"core"}) if docs else ()
    pages = {
        **dict(_pages(catalogue, read_guides, near, base)),
        **dict(_pictures(docs, read_guides) if docs else ()),
        meaning.FILE: meaning.dump(texts, vectors, embed),
    }
    _write(out, pages, owned)
    size = sum(map(len, pages.values()))
    return Site(out, len(catalogue.papers), len(pages), size)


def check_base(base: str | None) -> str | None:
    """The address with a slash at its end.

    Raises:
        InputError: it is no web address.
    """
    if base is None:
        return None
    if not base.startswith(("https://", "http://")) or any(sign in base for sign in "<>\"' ?#"):
        raise InputError("the address of a site begins with https:// or http://", got=base)
    return base.rstrip("/") + "/"


def _pages(
    catalogue: Catalogue,
    docs: tuple[guides.Guide, ...],
    near: dict[str, list[str]],
    base: str | None,
) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file that is made of text."""
    pages = Renderer(catalogue, docs, near)
    texts: list[tuple[str, Callable[[], str]]] = [
        ("index.html", pages.home),
        ("red.html", pages.red),
        ("areas/index.html", pages.areas),
        ("feed.xml", lambda: feed.atom(catalogue, base)),
        ("assets/index.js", lambda: search.script(catalogue, SHOWN)),
        (
            "index.json",
            lambda: artifacts.dumps({"papers": [p.as_dict() for p in catalogue.papers]}),
        ),
        *((f"areas/{a}.html", lambda a=a: pages.area(a)) for a in catalogue.areas),
        *((f"assets/{file.name}", file.read_text) for file in ASSETS),
    ]
    if docs:
        texts.append(("docs/index.html", pages.guide_list))
        texts += [(f"docs/{guide.name}.html", lambda g=guide: pages.guide(g)) for guide in docs]
    for path, make in texts:
        yield path, make().encode("utf-8")
    for paper in catalogue.papers:
        yield f"papers/{paper.slug}.html", pages.paper(paper).encode("utf-8")
        whole = artifacts.dumps(document(paper, near[paper.slug]))
        yield f"papers/{paper.slug}.json", whole.encode("utf-8")


def document(paper: Paper, related: Sequence[str]) -> dict[str, Any]:
    """All there is to say of one paper, ready for JSON.

    Args:
        related: names of the papers near to it.
    """
    return {
        **paper.as_dict(),
        "claims": [outcome.as_dict() for outcome in paper.outcomes],
        "deviations": paper.deviations,
        "commands": [command.text for command in paper.commands],
        "related": list(related),
        "bibtex": paper.bibtex,
    }


def _pictures(docs: Path, read_guides: tuple[guides.Guide, ...]) -> Iterator[tuple[str, bytes]]:
    for guide in read_guides:
        for picture in guide.pictures:
            yield f"docs/{picture}", (docs / picture).read_bytes()


def _claim(out: Path) -> set[str]:
    """The files in ``out`` that we wrote; refuses a folder that holds anything and is not ours."""
    marker = out / MARKER
    if marker.is_file():
        return set(artifacts.read_json(marker)["files"])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "a site is written to a new or empty folder, or over a site", got=str(out),
            hint="Choose another --out",
        )  # fmt: skip
    return set()


def _write(out: Path, pages: dict[str, bytes], owned: set[str]) -> None:
    files = {artifacts.inside(out, name): data for name, data in pages.items()}
    (out / artifacts.MANIFEST).unlink(missing_ok=True)
    # Before anything else, so that a stopped build leaves nothing that is not known as ours.
    artifacts.write_json(out / MARKER, {"files": sorted(owned | pages.keys())})
    for file, data in files.items():
        if not file.is_file() or file.read_bytes() != data:
            artifacts.write_bytes(file, data)
    for name in sorted(owned - pages.keys()):
        artifacts.inside(out, name).unlink(missing_ok=True)
    artifacts.write_json(out / MARKER, {"files": sorted(pages)})
    artifacts.seal(out, kind="site")
