"""Predictions graded: the errors are those computed by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.core import artifacts, ledger
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.footprint import Figure, Footprint
from parsimony.core.ledger import Entry


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
    (row,) = ledger.summary([("run", e) for e in entries])
    assert row == {
        "quantity": "seconds", "predictions": 4, "unknown": 1,
        "median_absolute_error": pytest.approx(0.2),  # of 0.02, 0.1, 0.3, 0.4
        "worst_under": pytest.approx(-0.4), "worst_over": pytest.approx(0.3),
        "intervals": 0, "coverage": None,
    }  # fmt: skip


def test_a_summary_of_unknowns_has_no_error() -> None:
    (row,) = ledger.summary(
        [("r", e) for e in ledger.compare("a", footprint(energy=None), footprint(energy=None))]
    )
    assert row == {
        "quantity": "energy", "predictions": 0, "unknown": 1,
        "median_absolute_error": None, "worst_under": None, "worst_over": None,
        "intervals": 0, "coverage": None,
    }  # fmt: skip


def test_errors_on_one_side_leave_the_other_empty() -> None:
    (row,) = ledger.summary(
        [("r", e) for e in ledger.compare("a", footprint(flops=3.0), footprint(flops=2.0))]
    )
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


# --- intervals ---


def graded(ratios: list[float], method: str = "lora", provenance: str = "estimated") -> list[Entry]:
    """Predictions of 10 seconds, by adapt, whose outcome was so many times that."""
    return [
        Entry("s", "seconds", "seconds", 10.0, 10 * r, 1 / r - 1, "", "adapt", method, provenance)
        for r in ratios
    ]


def told(method: str = "lora", provenance: str = "estimated", verb: str = "adapt") -> Entry:
    """A prediction of 100 seconds, not graded yet."""
    return Entry("s", "seconds", "seconds", 100.0, None, None, "", verb, method, provenance)


def test_an_interval_is_between_order_statistics_of_past_ratios() -> None:
    ratios = [k / 10 for k in range(1, 20)]  # 0.1 to 1.9: two of twenty places beyond either end
    assert ledger.interval(told(), graded(ratios)) == ledger.Interval(
        pytest.approx(20.0), pytest.approx(180.0), "19 graded predictions of lora"
    )
    few = ledger.interval(told(), graded(ratios[:9]))
    assert (few.low, few.high) == (pytest.approx(10.0), pytest.approx(90.0))


def test_too_few_give_no_interval_and_the_reason() -> None:
    assert ledger.interval(told(), graded([1.0] * 8)) == ledger.Interval(
        None, None,
        "8 graded predictions of all methods like this one, and an interval takes 9",
    )  # fmt: skip
    unknown = Entry("s", "energy", "watt-hours", None, None, None, "no energy model", "adapt", "a")
    assert ledger.interval(unknown, graded([1.0] * 9)).basis == "no energy model"


def test_an_estimate_borrows_from_other_methods_until_its_own_are_enough() -> None:
    others = graded([2.0] * 9, "ia3")
    assert ledger.interval(told(), [*others, *graded([1.0] * 8)]).high == 200.0
    own = ledger.interval(told(), [*others, *graded([1.0] * 9)])
    assert (own.low, own.high, own.basis) == (100.0, 100.0, "9 graded predictions of lora")


def test_what_is_not_alike_counts_for_nothing() -> None:
    past = graded([1.0] * 9)
    assert ledger.interval(told(), past).low == 100.0
    for other in (told(verb="plan run"), told(provenance="computed"), told(method="")):
        assert ledger.interval(other, past).basis.startswith("0 graded predictions")
    count = ledger.interval(told("lora", "computed"), graded([1.0] * 9, "ia3", "computed"))
    assert count.basis.startswith("0 graded predictions of lora like this one")


def test_coverage_is_counted_on_runs_left_out() -> None:
    runs = [("a", e) for e in graded([1.0] * 9)] + [("b", e) for e in graded([1.0, 3.0])]
    # b's two are judged by a's nine; a's nine would be judged by b's two, which are too few.
    assert ledger.coverage(told(), runs) == 0.5
    (row,) = ledger.summary(runs, per_method=True)
    assert (row["verb"], row["method"], row["intervals"], row["coverage"]) == (
        "adapt", "lora", 2, 0.5
    )  # fmt: skip
    assert ledger.coverage(told(), runs[:9]) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(9, 60), st.integers(0, 2**32 - 1))
def test_exchangeable_ratios_are_held_as_often_as_promised(count: int, seed: int) -> None:
    """Of the n + 1 places that a new ratio can take, the interval leaves k at either end."""
    ratios = np.random.default_rng(seed).lognormal(size=count + 1)
    held = 0
    for k in range(count + 1):  # every one of them as the new one: exact, not sampled
        found = ledger.interval(told(), graded(list(np.delete(ratios, k))))
        assert found.low is not None and found.high is not None
        held += found.low <= 100 * ratios[k] <= found.high
    assert held / (count + 1) >= ledger.LEVEL


def test_what_the_command_printed_is_read_as_a_folder_is(tmp_path: Path) -> None:
    entry = told()
    artifacts.write_json(
        tmp_path / "kept.json",
        {"entries": [{"run": "a", **asdict(entry)}], "machines": ["2 cores of X, Linux"]},
    )
    assert ledger.read(tmp_path / "kept.json") == [("a", entry)]
    assert ledger.machines(tmp_path / "kept.json") == ["2 cores of X, Linux"]


@pytest.mark.parametrize("content", ["[]", "{}", '{"entries": [{"subject": "a"}]}'])
def test_a_file_of_another_make_is_named(tmp_path: Path, content: str) -> None:
    artifacts.write_text(tmp_path / "kept.json", content)
    with pytest.raises(ArtifactError, match="must be what 'parsimony plan ledger --json' prints"):
        ledger.read(tmp_path / "kept.json")
