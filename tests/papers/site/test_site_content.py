"""What the pages say follows from the cards and their results alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from parsimony.core.errors import DataError
from parsimony.papers import card, cards
from parsimony.papers.claim import LEVELS
from parsimony.papers.site import content, words


@pytest.fixture(scope="module")
def catalogue(world: SimpleNamespace) -> content.Catalogue:
    return content.read(world.cards, world.results)


def test_the_newest_comes_first_and_a_year_alone_before_its_months(catalogue) -> None:
    assert [(p.slug, p.date) for p in catalogue.papers] == [
        ("no-word", "2025"), ("kept-word", "2024-06"), ("broken-word", "2023-12"),
        ("hostile", "2023"), ("old-word", "2019"),
    ]  # fmt: skip


def test_every_state_is_there_and_counted(catalogue) -> None:
    states = {p.slug: p.standing.state for p in catalogue.papers}
    assert states == {
        "no-word": "not yet", "kept-word": "green", "broken-word": "red", "hostile": "red",
        "old-word": "stale",
    }  # fmt: skip
    assert catalogue.states == {"red": 2, "stale": 1, "not yet": 1, "green": 1}
    totals = catalogue.totals
    assert (totals.state, totals.claims, totals.run, totals.passed) == ("red", 6, 5, 3)
    assert catalogue.last_run == "2026-11-21T10:00:00+00:00"


def test_a_level_is_never_green_for_another(catalogue) -> None:
    kept, broken = catalogue.by_slug["kept-word"], catalogue.by_slug["broken-word"]
    assert {level: s.state for level, s in kept.levels.items()} == {
        "exact": "green", "cpu": "not yet", "gpu": "not yet",
    }  # fmt: skip
    assert (kept.levels["cpu"].claims, kept.levels["cpu"].run, kept.levels["gpu"].claims) == (
        1,
        0,
        0,
    )
    assert broken.levels["exact"].state == "green" and broken.levels["cpu"].state == "red"


def test_an_outcome_has_its_whole_history(catalogue) -> None:
    [_, slow] = catalogue.by_slug["broken-word"].outcomes
    assert [r.passed for r in slow.results] == [True, False]
    assert slow.state == "red" and not slow.changed
    [three] = catalogue.by_slug["old-word"].outcomes
    assert three.state == "stale" and three.changed
    assert json.loads(json.dumps(slow.as_dict()))["results"][1]["value"] == 1.0


def test_areas_and_what_is_red(catalogue) -> None:
    assert list(catalogue.areas) == ["adapt", "plan", "serve"]
    assert [p.slug for p in catalogue.areas["plan"]] == ["broken-word"]
    assert [p.slug for p in catalogue.red] == ["broken-word", "hostile"]


def test_commands_say_how_long_it_took_and_what_was_not_run(catalogue) -> None:
    exact, cpu = catalogue.by_slug["kept-word"].commands
    assert exact.text == "parsimony papers reproduce kept-word --level exact"
    assert exact.does == "Check its claims, closed forms: took 1 min 35 s at the last run."
    assert cpu.does == "Check its claims, on a laptop: not all run so far."
    assert catalogue.by_slug["no-word"].commands == ()


def test_deviations_tell_the_miss_and_what_was_left_out(catalogue) -> None:
    assert catalogue.by_slug["broken-word"].deviations[0] == (
        "It is slow. Expected: at least 3 ± 0.5; found: 1 things."
    )
    assert catalogue.by_slug["kept-word"].deviations[-1] == "1 of 2 claims has not been run."
    assert catalogue.by_slug["old-word"].deviations == ()


def test_bibtex_escapes_what_tex_reads(catalogue) -> None:
    entry = catalogue.by_slug["hostile"].bibtex
    assert entry.startswith("@misc{hostile2023,\n")
    assert words.tex(r"50% of a_b & {c} $d$ #1 ~ ^ \e") == (
        r"50\% of a\_b \& \{c\} \$d\$ \#1 \textasciitilde{} \textasciicircum{} \textbackslash{}e"
    )
    kept = catalogue.by_slug["kept-word"].bibtex
    assert "  author = {A. Author and B. Björk},\n" in kept
    assert "  eprint = {2406.00210},\n  archiveprefix = {arXiv},\n" in kept
    assert "  month = jun,\n" in kept and "howpublished" not in kept


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "no number"), (578926125.4, "578,926,125"), (0.30903, "0.30903"), (-2.0, "\u22122"),
        (5e-7, "5e-7"), (1234.5, "1,234"), (0.111111111, "0.111111"), (3212749824, "3,212,749,824"),
    ],
)  # fmt: skip
def test_a_figure_is_written_for_readers(value: float | None, text: str) -> None:
    assert words.figure(value) == text


def test_the_scale_of_a_claim_holds_promise_and_result(catalogue) -> None:
    [three, _] = catalogue.by_slug["kept-word"].outcomes
    at = words.place(three.claim, three.last)
    assert 0 < at["from"] < at["low"] < at["value"] < at["high"] < at["to"] == 100
    nothing = dataclasses.replace(three.last, value=None, interval=None)
    assert words.place(three.claim, nothing) is None


@pytest.mark.parametrize("changes", [{"areas": ("../up",)}, {"areas": ("a b",)}])
def test_a_name_that_cannot_be_an_address_is_refused(write_card, changes) -> None:
    with pytest.raises(DataError, match="lower-case words joined by hyphens"):
        content.paper(write_card(**changes), {})


def test_a_slug_that_cannot_be_an_address_is_refused(tmp_path: Path, write_card) -> None:
    text = write_card().as_dict()
    assert text["slug"] == "some-paper"
    evil = tmp_path / "cards" / "a b.py"
    source = (tmp_path / "cards" / "some_paper.py").read_text()
    (tmp_path / "cards" / "some_paper.py").unlink()
    evil.write_text(source.replace("some-paper", "a b"))
    with pytest.raises(DataError, match="a b"):
        content.read(tmp_path / "cards", tmp_path / "results")


@pytest.fixture(scope="module")
def ours() -> content.Catalogue:
    return content.read()


def test_all_papers_have_words_of_our_own_an_area_a_date_and_a_link(ours) -> None:
    assert len(ours.papers) == len(cards()) >= 36
    for paper in ours.papers:
        summary = paper.card.summary
        assert summary.endswith(".") and 30 < len(summary) < 220, paper.slug
        assert paper.card.areas and len(paper.date) == 7, paper.slug
        assert paper.links[0][1].startswith("https://arxiv.org/abs/"), paper.slug


def test_nothing_is_green_that_was_not_run(ours) -> None:
    for paper in ours.papers:
        for level in LEVELS:
            standing = paper.levels[level]
            assert standing.state != "green" or standing.passed == standing.run > 0
        for outcome in paper.outcomes:
            assert outcome.state != "green" or (outcome.last.passed and not outcome.changed)
        assert sum(s.claims for s in paper.levels.values()) == paper.standing.claims
        assert sum(s.run for s in paper.levels.values()) == paper.standing.run


def test_every_recorded_claim_shows_its_last_result(ours) -> None:
    from parsimony.papers.record import newest

    for paper in ours.papers:
        latest = newest(card(paper.slug))
        assert {o.claim.name: o.last for o in paper.outcomes if o.last} == latest
