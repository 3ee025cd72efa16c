"""Every code block of the pages is run as it stands, and what it prints is what the page shows.

The language of a block and the words after it say what happens to it:

* ``python``: run; the blocks of a page share their names; with ``figure=NAME.svg`` it must write
  that file, which the page shows from ``docs/figures`` (written there where UPDATE_FIGURES is set);
* ``LANGUAGE file=NAME``: written to that file;
* ``console``: each line is parsed against the command line; with ``run`` it is also run, and must
  end with exit code 0, or with that of ``exit=CODE``;
* ``text`` after one of these: exactly what it printed;
* ``text folder=PATH``: the first word of each line is there, and nothing else is.

A page is run in a folder that holds a tiny encoder, ``my-model``, a tiny language model, ``my-lm``,
and a table, ``reviews.csv``.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import warm
from test_pages import check, make_targets, shown
from typer.core import TyperCommand

from parsimony.core.errors import ParsimonyError
from parsimony.testing import tiny

FIGURES = Path(__file__).parents[2] / "docs/figures"
GENERATED = ("architecture", "commands")  # nothing to run
PAGES = tuple(
    page.stem
    for page in sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
    if page.stem not in GENERATED
)
MODULES = {"torchrun": "torch.distributed.run"}  # where the program's name is not its module's
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after that, its text and the line it starts at."""

    language: str
    words: dict[str, str]
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(
            found[1],
            {key: value for key, _, value in (w.partition("=") for w in found[2].split())},
            found[3],
            page.count("\n", 0, found.start()) + 1,
        )
        for found in FENCE.finditer(page)
    ]


class Reader:
    """Does what a page says, block by block, in ``folder``."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.names: dict[str, Any] = {"__name__": "page"}
        self.printed: str | None = None

    def do(self, block: Block) -> None:
        """Run, write or compare one block; refuse one that none of these fits."""
        place = f"docs/{self.name}.md, line {block.line}"
        if "file" in block.words:
            (self.folder / block.words["file"]).write_text(block.text, encoding="utf-8")
            self.printed = None
        elif block.language == "python":
            self.printed = self.python(block, place)
            if "figure" in block.words:
                self.figure(block.words["figure"], place)
        elif block.language == "console":
            self.printed = self.commands(block, place) if "run" in block.words else None
        elif block.language == "text" and "folder" in block.words:
            listed = {line.split()[0].rstrip("/") for line in block.text.splitlines()}
            there = self.folder / block.words["folder"]
            assert listed == {f.name for f in there.iterdir() if f.name[0] != "."}, place
        else:
            assert block.language == "text", f"{place}: nothing runs a '{block.language}' block"
            assert self.printed is not None, f"{place}: nothing printed this"
            assert self.printed.strip() == block.text.strip(), place

    def python(self, block: Block, place: str) -> str:
        """What the code prints."""
        padded = "\n" * block.line + block.text  # so that a traceback shows the page's lines
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            exec(compile(padded, place, "exec"), self.names)
        return stream.getvalue()

    def figure(self, name: str, place: str) -> None:
        """Check that the block drew what the page shows."""
        drawn, shown = self.folder / name, FIGURES / name
        assert drawn.is_file(), f"{place}: the block does not write {name}"
        root = ElementTree.parse(drawn).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg", f"{place}: no image by itself"
        if "UPDATE_FIGURES" in os.environ:
            FIGURES.mkdir(exist_ok=True)
            shown.write_bytes(drawn.read_bytes())
        page = (FIGURES.parent / f"{self.name}.md").read_text(encoding="utf-8")
        assert f"](figures/{name})" in page, f"{place}: the page does not show figures/{name}"
        assert shown.is_file(), f"{place}: run this test with UPDATE_FIGURES=1, then commit {shown}"

    def commands(self, block: Block, place: str) -> str:
        """What the commands print, stdout before stderr."""
        site = str(self.folder / "site-packages")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([site, *filter(None, [os.environ.get("PYTHONPATH")])]),
            # `pip install .` into that folder, without a network.
            "PIP_TARGET": site,
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round
            "PYTEST_ADDOPTS": "-p parsimony.testing.no_network -p no:cacheprovider",
        }
        printed = ""
        for words in lines_of(block):
            program, *arguments = words
            if program == "parsimony":
                done = warm.run(arguments, self.folder, environment)
            else:
                done = subprocess.run(
                    [sys.executable, "-m", MODULES.get(program, program), *arguments],
                    cwd=self.folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
            told = f"{place}: {words} exits with {done.returncode}\n{done.stdout}{done.stderr}"
            assert done.returncode == int(block.words.get("exit", 0)), told
            assert "Traceback" not in done.stderr, told
            printed += done.stdout + done.stderr
        return printed


def lines_of(block: Block) -> list[list[str]]:
    """The commands of a console block, split into words."""
    return shown(f"```console\n{block.text}```")


def write_reviews(file: Path) -> None:
    """Sixty reviews of two kinds, told apart by their words."""
    words = {
        "good": ["works", "great", "love", "fast", "solid", "nice"],
        "bad": ["broken", "slow", "returned", "fails", "cheap", "noisy"],
    }
    random = np.random.default_rng(0)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "rating"])
        for number in range(60):
            kind = sorted(words)[number % 2]
            writer.writerow([" ".join([*random.choice(words[kind], 3), str(number)]), kind])


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_page_runs(
    root: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as python does with the folder it is started in
    tiny.write(tmp_path / "my-model")
    tiny.write(tmp_path / "my-lm", "llama")
    write_reviews(tmp_path / "reviews.csv")
    reader = Reader(name, tmp_path)
    found = blocks((root / f"docs/{name}.md").read_text(encoding="utf-8"))
    assert any(b.language == "python" or "run" in b.words for b in found)
    for block in found:
        reader.do(block)


@pytest.mark.parametrize("name", PAGES)
def test_shown_commands_parse(root: Path, commands: dict[str, TyperCommand], name: str) -> None:
    found = blocks((root / f"docs/{name}.md").read_text(encoding="utf-8"))
    lines = [words for b in found if b.language == "console" for words in lines_of(b)]
    wrong = [check(words, commands, make_targets(root)) for words in lines]
    assert lines and not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.parametrize("name", [*PAGES, "commands"])
def test_links_resolve(root: Path, name: str) -> None:
    page = root / f"docs/{name}.md"
    for file, _, part in re.findall(
        r"\]\(([^):#]+)(#([^)]+))?\)", page.read_text(encoding="utf-8")
    ):
        target = page.parent / file
        assert target.exists(), file
        titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not part or part in anchors, f"{file} has no section {part}"


def test_the_reader_sees_what_is_wrong(tmp_path: Path) -> None:
    reader = Reader("made-up", tmp_path)

    def read(page: str) -> None:
        for block in blocks(page):
            reader.do(block)

    read("```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n")
    with pytest.raises(AssertionError, match=r"docs/made-up\.md, line 5"):
        read("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match="nothing printed this"):
        read("```text file=a\n```\n```text\nalone\n```\n")
    with pytest.raises(AssertionError, match="nothing runs a 'yaml' block"):
        read("```yaml\na: 1\n```\n")
    with pytest.raises(AssertionError, match="exits with 2"):
        read("```console run\nparsimony fly\n```\n")
    read("```console run exit=2\nparsimony fly\n```\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/b").write_text("")
    with pytest.raises(AssertionError):
        read("```text folder=run\na/   is not there\n```\n")
    read("```text folder=run\nb   is there\n```\n")


def load(file: Path) -> ModuleType:
    """A script, as a module."""
    spec = importlib.util.spec_from_file_location(f"{file.parent.name}_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("values", [(), (1.0,) * 4, (1.0,) * 4 + (float("nan"),)])
def test_the_benchmark_prints_nothing_that_was_not_measured(
    root: Path, values: tuple[float, ...]
) -> None:
    bench = load(root / "benchmarks/_rows.py")
    with pytest.raises(ParsimonyError, match="'a step' needs 5 finite measurements"):
        bench.Row("a step", "ratio", values)


def test_the_benchmark_prints_the_median_and_the_spread(root: Path) -> None:
    bench = load(root / "benchmarks/_rows.py")
    row = bench.Row("a step", "ratio", (1.0, 3.0, 2.0, 5.0, 4.0))
    assert row.cells() == ("a step", "3.000", "1.000 .. 5.000", "5")
    error = bench.Row("memory", "relative error", (0.1, -0.1, 0.0, 0.2, -0.2))
    assert error.cells() == ("memory", "+0.0 %", "-20.0 % .. +20.0 %", "5")
    assert error.as_dict()["median"] == 0.0


def test_the_benchmark_counts_the_gap_between_two_steps(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps end at 1, 4, 7, ...; the next batch is fetched half a second later."""
    import torch

    monkeypatch.syspath_prepend(root / "benchmarks")
    bench = load(root / "benchmarks/adapt.py")
    clock = bench.Clock(lambda rows: {"input_ids": torch.tensor([rows])})
    now = iter(range(100))
    times = [t for step in range(6) for t in (1.0 + 3 * step, 1.5 + 3 * step)]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: times[next(now)])
    clock([0])
    clock([1])  # fetched ahead: no step has ended yet
    for step in range(6):
        clock.step()
        clock([step])
    assert clock.gap == 0.5
    assert clock.seconds == 3.0 * (6 - bench.WARM)


def test_the_benchmark_says_what_was_not_run(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = load(root / "benchmarks/_rows.py")
    row = bench.Row("bytes that differ", "count", (0, 0, 1200, 0, 0))
    bench.show([row], as_json=False, not_run=["a peer that is not here"])
    table = capsys.readouterr().out.splitlines()
    assert table[1].split() == ["bytes", "that", "differ", "0", "0", "..", "1,200", "5"]
    assert table[2] == "not run: a peer that is not here"
