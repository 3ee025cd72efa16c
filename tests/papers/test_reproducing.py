"""All papers in one run: cheapest first, kept as it goes, resumed after a stop or a death."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from parsimony.core import headlines
from parsimony.core.artifacts import is_sealed
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.papers import catalogue, record
from parsimony.papers.record import Result
from parsimony.papers.reproducing import GUESS, Job, Request, fits, plan, reproduce, resume
from parsimony.papers.summary import markdown, sentence, summarise

QUIET = Console(quiet=True)


@pytest.fixture
def world(write_card: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A catalogue and a record of this test's own; ``write_card`` writes its one card."""
    monkeypatch.setattr(catalogue, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    return write_card


def counted(tmp_path: Path, body: str = "return Measurement(3)") -> str:
    """The body of a claim that tells how often it ran."""
    return f"open({str(tmp_path / 'runs.txt')!r}, 'a').write('x')\n    {body}"


def kept(card: Any, name: str, seconds: float, **changes: Any) -> Result:
    """A result of a claim, recorded."""
    [claim] = [c for c in card.claims if c.name == name]
    result = dataclasses.replace(record.execute(card, claim, "before"), seconds=seconds, **changes)
    record.append(card.slug, result)
    return result


def test_the_cheapest_come_first_and_what_never_ran_is_guessed(world: Any) -> None:
    card = world(
        world.claim(name="slow"), world.claim(name="fast", level="cpu"),
        world.claim(name="new", level="cpu"), world.claim(name="large", level="gpu"),
    )  # fmt: skip
    kept(card, "slow", 900.0)
    kept(card, "fast", 2.0)
    jobs = plan([card], "cpu", {})
    assert jobs == [
        Job("some-paper", "cpu", {"fast": 2.0, "new": GUESS["cpu"]}, ("new",)),
        Job("some-paper", "exact", {"slow": 900.0}, ()),
    ]
    assert fits(jobs, 400) == (["some-paper:fast", "some-paper:new"], ["some-paper:slow"])
    assert fits(jobs, 5) == (["some-paper:fast"], ["some-paper:new", "some-paper:slow"])
    assert fits(jobs, None)[1] == []


def test_only_results_of_the_same_card_are_not_run_again(world: Any) -> None:
    card = world(world.claim())
    result = kept(card, "three", 1.0)
    assert plan([card], "exact", {card.slug: {"three": result}}) == []
    old = dataclasses.replace(result, fingerprint="0" * 64)
    assert len(plan([card], "exact", {card.slug: {"three": old}})) == 1


def test_a_run_keeps_what_it_finds_and_says_it(world: Any, tmp_path: Path) -> None:
    card = world(
        world.claim(), world.claim("return Measurement(4)", name="four"),
        world.claim("from parsimony.papers.tables import published; published('no.csv', 'a/b')",
                    name="table"),
        world.claim(name="large", level="gpu"),
    )  # fmt: skip
    said = reproduce(
        Request(level="cpu", record=True, summary=str(tmp_path / "ci.md")), tmp_path / "run", QUIET
    )
    [paper] = said["papers"]
    assert (paper["state"], paper["claims"], paper["run"], paper["passed"]) == ("red", 3, 2, 1)
    assert [(m["claim"], m["new"], m["value"]) for m in said["red"]] == [("four", True, 4.0)]
    assert list(said["missing"]) == ["some-paper:table"]
    assert "needs the table no.csv, from a/b" in said["missing"]["some-paper:table"]
    assert json.loads((tmp_path / "run/result.json").read_text()) == json.loads(json.dumps(said))
    assert (tmp_path / "ci.md").read_text() == (tmp_path / "run/summary.md").read_text()
    assert is_sealed(tmp_path / "run")
    told = headlines.read(tmp_path / "run")
    assert [(n.name, n.value) for n in told.numbers[:3]] == [
        ("hold", 1), ("were run", 2), ("newly red", 1),
    ]  # fmt: skip
    latest = record.newest(card)
    assert {name: r.passed for name, r in latest.items()} == {"three": True, "four": False}
    assert latest["three"].command == "parsimony papers reproduce --all --level cpu --record"
    again = resume(tmp_path / "run", QUIET)
    assert again["red"] == said["red"]  # new by what was known when the run began
    assert len(record.history(card.slug)["three"]) == 1


def test_without_record_the_record_stays_as_it_was(world: Any, tmp_path: Path) -> None:
    card = world(world.claim())
    reproduce(Request(level="exact"), tmp_path / "run", QUIET)
    assert record.history(card.slug) == {}


def test_no_claim_begins_that_would_not_fit(world: Any, tmp_path: Path) -> None:
    card = world(world.claim(counted(tmp_path)), world.claim(counted(tmp_path), name="new"))
    kept(card, "three", 0.01)
    (tmp_path / "runs.txt").unlink()
    said = reproduce(Request(level="exact", time=4.0), tmp_path / "run", QUIET)
    assert said["left"] == ["some-paper:new"] and said["run"] == 1
    assert not is_sealed(tmp_path / "run")
    assert sentence(said).startswith("1 of 1 claims hold; 1 left for lack of time. It took")
    assert "## Left for lack of time\n\n- some-paper: 1 claim\n" in markdown(said)
    config = tmp_path / "run/config.json"
    config.write_text(config.read_text().replace("4.0", "60.0"))
    said = resume(tmp_path / "run", QUIET)
    assert said["left"] == [] and said["run"] == 2
    assert (tmp_path / "runs.txt").read_text() == "xx"  # each once
    assert is_sealed(tmp_path / "run")


def test_a_claim_that_ends_its_process_costs_no_other_and_is_tried_again(
    world: Any, tmp_path: Path
) -> None:
    mend = tmp_path / "mended"
    world(
        world.claim(counted(tmp_path)),
        world.claim(f"import os; os.path.exists({str(mend)!r}) or os.kill(os.getpid(), 9)\n"
                    "    return Measurement(3)", name="dies"),
        world.claim(counted(tmp_path), name="after"),
    )  # fmt: skip
    said = reproduce(Request(level="exact"), tmp_path / "run", QUIET)
    assert said["missing"] == {"some-paper:dies": "its process died, perhaps for lack of memory"}
    assert (said["run"], said["passed"], said["red"]) == (2, 2, [])
    mend.touch()
    said = resume(tmp_path / "run", QUIET)
    assert (said["run"], said["missing"]) == (3, {})
    assert (tmp_path / "runs.txt").read_text() == "xx"


def test_merging_is_by_date_and_adds_nothing_twice(world: Any) -> None:
    card = world(world.claim())
    late = kept(card, "three", 1.0)
    early = dataclasses.replace(late, date="2020-01-01T00:00:00+00:00")
    for _ in range(2):
        record.merge(card.slug, [early, late])
    assert record.history(card.slug)["three"] == [early, late]


def test_the_summary_tells_old_red_from_new_and_escapes(world: Any) -> None:
    card = world(
        *(world.claim(f"return Measurement({v})", name=n)
          for n, v in (("old", 4), ("new", 4), ("mended", 3))),
        title="<b>|",
    )  # fmt: skip
    claims = [dataclasses.replace(c, statement="It is <script> | *three*") for c in card.claims]
    card = dataclasses.replace(card, claims=tuple(claims))
    found = {c.name: record.execute(card, c, "x") for c in card.claims}
    before = {"some-paper": {"old": False, "new": True, "mended": False}}
    said = summarise([card], "exact", {"some-paper": found}, [], before, 61.0)
    assert {m["claim"]: m["new"] for m in said["red"]} == {"old": False, "new": True}
    assert said["mended"] == ["some-paper:mended"]
    assert sentence(said) == "1 of 3 claims hold; 1 newly red; 1 mended. It took 1 min 1 s."
    text = markdown(said)
    assert (
        "## Newly red\n\n- **some-paper:new** It is \\<script\\> \\| \\*three\\* Expected 3" in text
    )
    assert text.index("## Newly red") < text.index("## Red as before") < text.index("## Mended")


def test_a_folder_of_something_else_is_no_run_to_go_on_with(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"settings": {}}')
    with pytest.raises(InputError, match="needs the folder of a 'reproduce --all'"):
        resume(tmp_path, QUIET)


@pytest.mark.slow
def test_on_ray_the_same_is_found(world: Any, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    world(world.claim(), world.claim("return Measurement(4)", name="four", level="cpu"))
    try:
        said = reproduce(Request(level="cpu", engine="ray", workers=2), tmp_path / "run", QUIET)
    finally:
        ray.shutdown()
    assert (said["run"], said["passed"]) == (2, 1)
    assert [m["claim"] for m in said["red"]] == ["four"]
