"""What a run found is judged, kept, and never shown better than it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from parsimony.core.errors import ArtifactError, InputError, MissingExtraError
from parsimony.papers import Card, cards
from parsimony.papers.record import (
    Result,
    append,
    check_writable,
    execute,
    history,
    newest,
    standing,
)


def run(paper: Card, folder: Path | None = None) -> list[Result]:
    results = [execute(paper, c, "the command") for c in paper.claims]
    for result in results if folder else []:
        append(paper.slug, result, folder)
    return results


def test_a_kept_promise_is_green_and_says_where_it_ran(write_card: Any, tmp_path: Path) -> None:
    paper = write_card(write_card.claim("return Measurement(3, (2.5, 3.5), 'counted')"))
    [result] = run(paper, tmp_path)
    assert result.passed and result.value == 3 and result.interval == (2.5, 3.5)
    assert (result.note, result.error, result.command) == ("counted", "", "the command")
    assert datetime.fromisoformat(result.date).utcoffset() == timedelta(0)
    assert {"python", "parsimony"} <= result.versions.keys()
    assert result.machine.keys() == {"platform", "cpus", "device"}
    assert result.seconds >= 0 and result.fingerprint == paper.fingerprint
    assert standing(paper, tmp_path).state == "green"


def test_a_failing_claim_is_recorded_red(write_card: Any, tmp_path: Path) -> None:
    paper = write_card(
        write_card.claim("return Measurement(4)"), write_card.claim(name="also-three")
    )
    run(paper, tmp_path)
    stand = standing(paper, tmp_path)
    assert (stand.state, stand.claims, stand.run, stand.passed) == ("red", 2, 2, 1)
    assert [r.passed for r in history(paper.slug, tmp_path)["three"]] == [False]


def test_a_raising_claim_is_red_with_its_text(write_card: Any, tmp_path: Path) -> None:
    paper = write_card(write_card.claim("raise ValueError('shapes\\n  differ')"))
    [result] = run(paper, tmp_path)
    assert not result.passed and result.value is None
    assert result.error == "ValueError: shapes differ"
    assert standing(paper, tmp_path).state == "red"


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_no_finite_number_is_red_and_kept_as_none(
    write_card: Any, tmp_path: Path, value: str
) -> None:
    paper = write_card(write_card.claim(f"return Measurement({value}, (0, {value}))"))
    [result] = run(paper, tmp_path)
    assert (result.passed, result.value, result.interval) == (False, None, None)
    assert history(paper.slug, tmp_path)["three"] == [result]


def test_a_claim_that_returns_no_measurement_is_red(write_card: Any) -> None:
    [result] = run(write_card(write_card.claim("return 3")))
    assert not result.passed
    assert result.error == "TypeError: the claim returned int, no Measurement"


def test_a_missing_package_is_no_verdict_on_the_paper(write_card: Any) -> None:
    body = "from parsimony.core.errors import require; require('no_such_package', 'adapt')"
    with pytest.raises(MissingExtraError, match=r"needs the package 'no_such_package'"):
        run(write_card(write_card.claim(body)))


def test_an_interrupt_is_not_a_verdict(write_card: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(write_card(write_card.claim("raise KeyboardInterrupt")))


def test_a_changed_card_is_stale_until_it_runs_again(write_card: Any, tmp_path: Path) -> None:
    run(write_card(write_card.claim()), tmp_path)
    changed = write_card(write_card.claim(), year=2023)
    assert standing(changed, tmp_path).state == "stale"
    run(changed, tmp_path)
    assert standing(changed, tmp_path).state == "green"


def test_a_red_claim_stays_red_when_the_card_changes(write_card: Any, tmp_path: Path) -> None:
    run(write_card(write_card.claim("return Measurement(4)")), tmp_path)
    assert standing(write_card(write_card.claim()), tmp_path).state == "red"


def test_the_newest_result_decides_and_the_older_ones_stay(write_card: Any, tmp_path: Path) -> None:
    run(write_card(write_card.claim("return Measurement(4)")), tmp_path)
    paper = write_card(write_card.claim())
    run(paper, tmp_path)
    assert [r.passed for r in history(paper.slug, tmp_path)["three"]] == [False, True]
    assert standing(paper, tmp_path).state == "green"


def test_cards_without_claims_or_results_are_not_yet(write_card: Any, tmp_path: Path) -> None:
    assert standing(write_card(write_card.claim()), tmp_path).state == "not yet"
    run(write_card(write_card.claim()), tmp_path)
    assert standing(write_card(), tmp_path).state == "not yet"  # its only claim was removed


def test_a_partly_run_card_says_how_much_was_run(write_card: Any, tmp_path: Path) -> None:
    paper = write_card(write_card.claim(), write_card.claim(name="slow", level="gpu"))
    append(paper.slug, execute(paper, paper.claims[0], "the command"), tmp_path)
    stand = standing(paper, tmp_path)
    assert (stand.state, stand.claims, stand.run, stand.passed) == ("green", 2, 1, 1)
    assert list(newest(paper, tmp_path)) == ["three"]


@pytest.mark.parametrize(
    "text", ["[]", '{"claims": {"three": [{}]}}', '{"claims": {"three": [1]}}']
)
def test_a_record_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "some-paper.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"must hold results by claim .* version control"):
        history("some-paper", tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_before_any_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"must be writable\. Run without --record"):
        check_writable(tmp_path / "file" / "results")


def test_a_writable_folder_is_left_as_it_was(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("paper", cards(), ids=lambda c: c.slug)
def test_the_kept_records_are_readable_and_theirs(paper: Card) -> None:
    known = history(paper.slug)
    assert all(r.claim == name for name, results in known.items() for r in results)
    dates = [[r.date for r in results] for results in known.values()]
    assert all(found == sorted(found) for found in dates)
    assert paper.claims or standing(paper).state == "not yet"
