"""The pages of ``docs/`` as pages of the site: CommonMark with tables, no HTML of their own.

Links between the pages go on to the site's; links to files that the site does not have lose their
address and keep their words. Pictures come along when they lie below the folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from parsimony.core.errors import InputError, require

if TYPE_CHECKING:
    from markdown_it.token import Token

_AREA = re.compile(r"\bparsimony[ .](\w+)")
_PICTURES = {".png", ".svg", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Guide:
    """One page of the docs.

    Attributes:
        name: of its file, without the ending.
        title: its first heading.
        area: that most of its commands and imports belong to, or ``None``.
        html: of the page.
        sections: anchor and text of its second-level headings.
        pictures: paths below the folder of the pictures it shows.
    """

    name: str
    title: str
    area: str | None
    html: Markup
    sections: tuple[tuple[str, str], ...]
    pictures: tuple[str, ...]


def read(folder: Path, areas: Collection[str] = ()) -> tuple[Guide, ...]:
    """Every ``*.md`` of ``folder``, by name.

    Raises:
        InputError: the folder holds none.
        MissingExtraError: markdown-it-py is not installed.
    """
    files = sorted(folder.glob("*.md"))
    if not files:
        raise InputError("a folder of docs needs pages that end in .md", got=str(folder))
    titles = {file.stem: _title(file) for file in files}
    return tuple(_guide(file, titles, areas) for file in files)


def area_of(text: str, areas: Collection[str]) -> str | None:
    """The area of more than half of the commands and imports that a page shows."""
    counts = Counter(name for name in _AREA.findall(text) if name in areas)
    [(name, most)] = counts.most_common(1) or [("", 0)]
    return name if 2 * most > counts.total() else None


def anchor(heading: str) -> str:
    """The anchor of a heading, as repositories make it: ``"A run, timed"`` -> ``"a-run-timed"``."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@dataclass
class _Rewriter:
    """Walks the tokens of a page and makes them fit for the site."""

    folder: Path
    titles: Mapping[str, str]
    pictures: list[str] = field(default_factory=list)
    headings: list[tuple[str, str, str]] = field(default_factory=list)  # tag, anchor, text
    taken: Counter[str] = field(default_factory=Counter)

    def tokens(self, tokens: list[Token]) -> list[Token]:
        for place, token in enumerate(tokens):
            if token.type == "heading_open":
                self._heading(token, tokens[place + 1])
            elif token.type == "inline":
                token.children = list(self._inline(token.children or []))
        return tokens

    def _heading(self, opening: Token, inline: Token) -> None:
        text = "".join(child.content for child in inline.children or [])
        name = anchor(text)
        again, self.taken[name] = self.taken[name], self.taken[name] + 1
        name = f"{name}-{again}" if again else name
        opening.attrSet("id", name)
        self.headings.append((opening.tag, name, text))

    def _inline(self, children: list[Token]) -> Iterator[Token]:
        dropped: list[bool] = []
        for child in children:
            if child.type == "link_open":
                address = self._address(str(child.attrGet("href") or ""))
                dropped.append(address is None)
                if address is not None:
                    child.attrSet("href", address)
                    yield child
            elif child.type == "link_close":
                if not dropped.pop():
                    yield child
            elif child.type == "text" and child.content.removesuffix(".md") in self.titles:
                # The name of a page's file says less than its title.
                named = child.content.endswith(".md") and dropped == [False]
                child.content = self.titles[child.content[:-3]] if named else child.content
                yield child
            elif child.type == "image":
                yield self._image(child)
            else:
                yield child

    def _address(self, target: str) -> str | None:
        if target.startswith(("https://", "http://", "#")):
            return target
        page, mark, place = target.partition("#")
        if page.endswith(".md") and page.removesuffix(".md") in self.titles:
            return f"{page.removesuffix('.md')}.html{mark}{place}"
        return None

    def _image(self, image: Token) -> Token:
        from markdown_it.token import Token

        source = str(image.attrGet("src") or "")
        file = (self.folder / source).resolve()
        inside = file.is_relative_to(self.folder.resolve()) and "://" not in source
        if inside and file.suffix.lower() in _PICTURES and file.is_file():
            self.pictures.append(source)
            image.attrSet("loading", "lazy")
            return image
        return Token("text", "", 0, content=image.content)


def _title(file: Path) -> str:
    found = re.search(r"^# (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else file.stem


def _guide(file: Path, titles: Mapping[str, str], areas: Collection[str]) -> Guide:
    text = file.read_text(encoding="utf-8")
    parser = require("markdown_it", "papers").MarkdownIt("commonmark", {"html": False})
    parser.enable("table")
    for name, rule in (("fence", _fence), ("table_open", _table), ("table_close", _table_end)):
        parser.add_render_rule(name, rule)
    rewriter = _Rewriter(file.parent, titles)
    tokens = rewriter.tokens(parser.parse(text))
    return Guide(
        name=file.stem,
        title=titles[file.stem],
        area=area_of(text, areas),
        # Made by the renderer, which escapes text and passes no HTML of the page.
        html=Markup(parser.renderer.render(tokens, parser.options, {})),  # noqa: S704
        sections=tuple((name, words) for tag, name, words in rewriter.headings if tag == "h2"),
        pictures=tuple(dict.fromkeys(rewriter.pictures)),
    )


def _fence(_renderer: Any, tokens: list[Token], place: int, *_: Any) -> str:
    """Code that one may copy, and what it printed, which one may not."""
    token = tokens[place]
    language = (token.info.split() or ["text"])[0]
    code = Markup('<pre tabindex="0"><code>{}</code></pre>').format(token.content)
    if language == "text":
        return Markup('<div class="output">{}</div>\n').format(code)
    return Markup('<div class="snippet">{}</div>\n').format(code)


def _table(_renderer: Any, tokens: list[Token], place: int, *_: Any) -> str:
    number = sum(token.type == "table_open" for token in tokens[: place + 1])
    return f'<div class="scroll" role="region" aria-label="Table {number}" tabindex="0"><table>\n'


def _table_end(*_: Any) -> str:
    return "</table></div>\n"
