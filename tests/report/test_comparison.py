"""Runs are listed from their small files, and two are set side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from parsimony.core import artifacts, headlines
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.headlines import Headline
from parsimony.report import comparison, runs, write_page

COUNTED = Headline(name="stored", value=2048, unit="bytes", reason=headlines.COUNTED)


def accuracy(value: float, half: float = 0.02) -> Headline:
    ends = {"estimate": value, "low": value - half, "high": value + half}
    return Headline.of("accuracy", ends, "share")


def make(
    folder: Path,
    numbers: Sequence[Headline] = (accuracy(0.7), COUNTED),
    command: str = "adapt",
    complete: bool = True,
    **settings: object,
) -> Path:
    """A run folder of small files."""
    values = {"model": "minilm", "seed": 0, **settings}
    noted = {name: {"value": v, "source": "given"} for name, v in values.items()}
    artifacts.write_json(folder / "config.json", {"settings": noted})
    versions = {"python": "3.11", "torch": str(settings.get("torch", "2.13.0"))}
    artifacts.write_json(folder / "environment.json", {"versions": versions, "machine": {}})
    if complete:
        headlines.write(folder, command, "minilm", numbers)
        artifacts.seal(folder)
    return folder


def test_the_widest_difference_that_both_intervals_allow(tmp_path: Path) -> None:
    a = make(tmp_path / "a", batch=8)
    b = make(tmp_path / "b", [accuracy(0.8), COUNTED], batch=16, torch="2.14.0")
    found = comparison.compare(a, b)
    assert [row[0] for row in found.settings] == ["batch", "torch"]
    assert found.settings[0][1:] == ("8 (given)", "16 (given)")
    assert found.same == 2
    assert found.environment == [("torch", "2.13.0", "2.14.0")]
    first, second = found.differences
    assert first.interval == pytest.approx((0.06, 0.14))
    assert first.says == "+10 points [+6 points, +14 points]"
    assert second.says == "the same"
    assert found.summary == "2 of 4 settings differ; a difference shows in accuracy"


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (accuracy(0.7), accuracy(0.72), "no difference found"),
        (accuracy(0.7, 0), accuracy(0.7, 0), "the same"),
        (COUNTED, COUNTED.model_copy(update={"value": 1024, "reason": "counted"}),
         "\N{MINUS SIGN}1 KiB (counted)"),
        (Headline(name="s", value=3, unit="J", reason="measured once"),
         Headline(name="s", value=5, unit="J", low=4, high=6), "+2 J (measured once)"),
        (COUNTED, None, "only in the first run"),
        (None, COUNTED, "only in the second run"),
    ],
)  # fmt: skip
def test_what_a_difference_says(a: Headline | None, b: Headline | None, says: str) -> None:
    assert comparison.Difference("it", a, b).says == says


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    run, other = make(tmp_path / "a"), make(tmp_path / "b", command="compress")
    unfinished = make(tmp_path / "c", complete=False)
    with pytest.raises(InputError, match="a run is compared with another, but got"):
        comparison.compare(run, run)
    with pytest.raises(
        InputError, match="runs of one command can be compared, but got 'adapt and c"
    ):
        comparison.compare(run, other)
    with pytest.raises(ArtifactError, match=r"has no headlines\.json, so there is nothing to comp"):
        comparison.compare(run, unfinished)
    with pytest.raises(ArtifactError, match=r"a run folder needs a config\.json"):
        comparison.compare(run, tmp_path / "missing")


def test_the_pages_are_written_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    a = make(tmp_path / "a", note=evil)
    b = make(tmp_path / "b", [accuracy(0.8), COUNTED], note="plain")
    write_page(comparison.page(comparison.compare(a, b)), tmp_path / "two.html")
    write_page(runs.page(runs.listing([a, b])), tmp_path / "list.html")
    text = (tmp_path / "two.html").read_text(encoding="utf-8")
    assert evil not in text and "&lt;script&gt;alert(1)" in text
    assert "+10 points [+6 points, +14 points]" in text
    assert "70% [68%, 72%]" in (tmp_path / "list.html").read_text(encoding="utf-8")


def test_a_folder_of_runs_is_listed_newest_first(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new")):
        folder = make(tmp_path / name)
        os.utime(folder / artifacts.MANIFEST, (number, number))
    late = make(tmp_path / "unfinished", complete=False)
    os.utime(late / runs.MARK, (9, 9))
    (tmp_path / "no-run").mkdir()
    found = runs.listing(runs.find([tmp_path, tmp_path / "old"]))
    assert [run.folder.name for run in found] == ["unfinished", "new", "old"]
    assert [run.found for run in found] == ["not finished", *["accuracy 70% [68%, 72%]"] * 2]
    assert runs.row(found[0])[1:4] == (None, None, "not complete")
    with pytest.raises(
        ArtifactError, match=r"is no run and holds none\. A run folder has a config"
    ):
        runs.find([tmp_path / "no-run"])


def test_the_headlines_of_a_thousand_runs_are_all_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        make(tmp_path / str(number))
    read: list[str] = []
    whole = artifacts.read_json
    monkeypatch.setattr(artifacts, "read_json", lambda path: read.append(path.name) or whole(path))
    runs.listing(runs.find([tmp_path]))
    assert read == [headlines.FILE] * 3
