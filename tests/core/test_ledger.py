"""Predictions graded: the errors are those computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsimony.core import artifacts, ledger
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.footprint import Figure, Footprint


def footprint(**values: float | None) -> Footprint:
    return Footprint(**{
        name: Figure.unknown("not counted") if value is None else Figure(value, "estimated", "rule")
        for name, value in values.items()
    })  # fmt: skip


def test_errors_are_relative_to_what_was_measured() -> None:
    entries = ledger.compare(
        "lora r=8",
        footprint(seconds=80.0, peak_memory=300.0, flops=6.0),
        footprint(seconds=100.0, peak_memory=200.0, flops=6.0),
    )
    assert {e.quantity: e.error for e in entries} == {
        "seconds": pytest.approx(-0.2), "peak_memory": pytest.approx(0.5), "flops": 0.0
    }  # fmt: skip
    assert {e.quantity: e.unit for e in entries} == {
        "seconds": "seconds", "peak_memory": "bytes", "flops": "operations"
    }  # fmt: skip
    assert all(e.subject == "lora r=8" and e.reason == "" for e in entries)


def test_what_nobody_spoke_of_makes_no_entry() -> None:
    assert ledger.compare("a", Footprint(), Footprint()) == []


def test_an_unknown_side_gives_its_reason() -> None:
    (energy,) = ledger.compare("a", footprint(energy=None), footprint(energy=2.0))
    assert (energy.predicted, energy.measured, energy.error) == (None, 2.0, None)
    assert energy.reason == "not counted"
    (energy,) = ledger.compare("a", footprint(energy=2.0), Footprint())
    assert (energy.predicted, energy.measured, energy.error) == (2.0, None, None)
    assert energy.reason == "not asked for"


@pytest.mark.parametrize("predicted", [0.0, 3.0])
def test_nothing_measured_has_no_relative_error(predicted: float) -> None:
    (head,) = ledger.compare("a", footprint(head=predicted), footprint(head=0.0))
    assert head.error is None
    assert head.reason == "nothing was measured to divide by: the value is 0"


def test_what_is_written_is_read_back_with_its_run(tmp_path: Path) -> None:
    first = ledger.compare("a", footprint(seconds=1.0), footprint(seconds=2.0))
    second = ledger.compare("b", footprint(flops=1.0), footprint(flops=None))
    ledger.write(tmp_path / "two", second)
    ledger.write(tmp_path / "one" / "deep", first)
    assert ledger.read(tmp_path) == [("one/deep", first[0]), ("two", second[0])]
    assert ledger.read(tmp_path / "two") == [("two", second[0])]


def test_the_summary_is_the_one_computed_by_hand() -> None:
    errors = [(90.0, 100.0), (130.0, 100.0), (102.0, 100.0), (60.0, 100.0)]
    entries = [
        entry
        for k, (before, after) in enumerate(errors)
        for entry in ledger.compare(str(k), footprint(seconds=before), footprint(seconds=after))
    ] + ledger.compare("x", footprint(seconds=1.0), footprint(seconds=None))
    (row,) = ledger.summary(entries)
    assert row == {
        "quantity": "seconds", "predictions": 4, "unknown": 1,
        "median_absolute_error": pytest.approx(0.2),  # of 0.02, 0.1, 0.3, 0.4
        "worst_under": pytest.approx(-0.4), "worst_over": pytest.approx(0.3),
    }  # fmt: skip


def test_a_summary_of_unknowns_has_no_error() -> None:
    (row,) = ledger.summary(ledger.compare("a", footprint(energy=None), footprint(energy=None)))
    assert row == {
        "quantity": "energy", "predictions": 0, "unknown": 1,
        "median_absolute_error": None, "worst_under": None, "worst_over": None,
    }  # fmt: skip


def test_errors_on_one_side_leave_the_other_empty() -> None:
    (row,) = ledger.summary(ledger.compare("a", footprint(flops=3.0), footprint(flops=2.0)))
    assert (row["worst_under"], row["worst_over"]) == (None, 0.5)
    assert ledger.summary([]) == []


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_a_ledger_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        ledger.read(tmp_path / name)
    assert str(caught.value) == (
        f"no ledger found below this folder, but got '{tmp_path / name}'. Finish a run first"
    )


@pytest.mark.parametrize("content", ['{"a": 1}', "[3]", '[{"subject": "a"}]'])
def test_a_ledger_of_another_make_is_named(tmp_path: Path, content: str) -> None:
    artifacts.write_text(tmp_path / "ledger.json", content)
    with pytest.raises(ArtifactError, match=r"ledger\.json must hold a list of entries"):
        ledger.read(tmp_path)
