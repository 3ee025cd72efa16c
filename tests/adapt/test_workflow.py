"""Planning: what is decided, and refused, before anything is trained."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_runs
import pandas as pd
import pytest

from parsimony.adapt import solve, workflow
from parsimony.adapt.setup import Plan
from parsimony.adapt.workflow import Request
from parsimony.core import artifacts
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import BudgetError, InputError
from parsimony.core.run import Run, provenance
from parsimony.testing import tiny

QUIET = Console(quiet=True)


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every call that would have timed real steps."""
    calls: list[object] = []

    def calibrate(*arguments: object) -> solve.Calibration:
        calls.append(arguments)
        return made_runs.SPEED

    monkeypatch.setattr(solve, "calibrate", calibrate)
    return calls


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("workflow") / "model")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Thirty texts of 10 bytes and three of 40, which are tokens here."""
    file = tmp_path / "t.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["note", "kind"])
        for number in range(33):
            length = 40 if number >= 30 else 10
            writer.writerow([f"{number:02d}".ljust(length, "x"), made_runs.KINDS[number % 3]])
    return file


def request(model: Path, table: Path, **changes: Any) -> Request:
    plain = {"methods": ("linear-probe", "lora"), "budget": Budget(trainable=0.05)}
    return Request(model=str(model), data=str(table), **{**plain, **changes})


def planned(asked: Request, folder: Path) -> tuple[Plan, dict[str, Any]]:
    """Plan into ``folder``, as ``adapt`` does before it trains."""
    run = Run.create(folder, provenance(asked, workflow.Request()), asked.seed)
    return workflow._plan(asked, run, QUIET, 0.0)


def test_a_preview_agrees_with_the_plan(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    asked = request(model, table, methods=("full", "linear-probe", "lora"))
    found = workflow.preview(asked, tmp_path, QUIET)
    plan = Plan.read(tmp_path / "run")
    record = artifacts.read_json(tmp_path / "run" / "prediction.json")
    assert (found["steps"], found["seeds"]) == (plan.steps, len(plan.seeds))
    assert found["configurations"] == len(plan.candidates) == 4
    assert {c["candidate"] for c in found["candidates"]} >= {c.label for c in plan.candidates}
    for shown in found["candidates"]:
        kept = record["options"][shown.pop("candidate")]
        assert shown == {name: figure["value"] for name, figure in kept.items()}
        assert shown["trainable"] <= 0.05 * record["base_parameters"]
        assert shown["seconds"] > 0 and shown["peak_memory"] > shown["stored_bytes"]
    assert [d["method"] for d in found["dropped"]] == ["full"]
    assert found["data"]["rows"] == {"train": 21, "validation": 6, "test": 6}
    assert not (tmp_path / "run" / "trials").exists()


def test_the_splits_are_kept_for_a_resume(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    plan, _ = planned(request(model, table), tmp_path / "run")
    kept = [pd.read_parquet(tmp_path / "run" / "data" / f"{s}.parquet")
            for s in ("train", "validation", "test")]  # fmt: skip
    assert sum(map(len, kept)) == 33
    table.unlink()
    assert len(Plan.read(tmp_path / "run").setup.rows("train")) == 21 == len(kept[0])
    assert plan.setup.rows("test")[0]["input_ids"][0] == 1  # [CLS]


def test_the_window_covers_most_texts_and_says_which_are_cut(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    plan, record = planned(request(model, table), tmp_path / "default")
    lengths = [len(row["input_ids"]) for row in (plan.setup.rows("train")[i] for i in range(21))]
    assert plan.setup.window % 8 == 0 and max(lengths) <= plan.setup.window
    assert f"window: {plan.setup.window} tokens (default: covers 95 % of the training texts, " \
        "at most 64)" in record["data"]["notices"]  # fmt: skip
    plan, record = planned(request(model, table, window=11), tmp_path / "short")
    assert plan.setup.window == 11
    assert record["data"]["notices"][-2:] == [
        "window: 11 tokens (given)",
        "21 of 21 training texts (100.0%) are longer than the window and are cut",
    ]
    assert {len(plan.setup.rows("train")[i]["input_ids"]) for i in range(21)} == {11}


def test_settings_say_where_they_come_from_and_read_back(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    asked = request(model, table, seeds=4, epochs=2.0, seed=7)
    plan, _ = planned(asked, tmp_path / "run")
    config = artifacts.read_json(tmp_path / "run" / "config.json")["settings"]
    assert set(config) == set(vars(asked))
    assert config["seeds"] == {"value": 4, "source": "given"}
    assert config["batch"] == {"value": 16, "source": "default"}
    assert config["budget"] == {"value": "trainable=5%", "source": "given"}
    assert workflow._request(Run.open(tmp_path / "run")) == asked
    assert plan.seeds == (7, 8, 9, 10)
    environment = artifacts.read_json(tmp_path / "run" / "environment.json")
    assert environment["seed"] == 7


def test_the_same_request_gives_the_same_plan(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    for name, workers in (("a", 1), ("b", 4)):
        planned(request(model, table, workers=workers), tmp_path / name)
    first, second = (artifacts.sha256(tmp_path / n / "plan.json") for n in ("a", "b"))
    assert first == second
    planned(request(model, table, seed=1), tmp_path / "c")
    assert artifacts.sha256(tmp_path / "c" / "plan.json") != first


def test_a_model_that_reads_ahead_is_refused_before_anything_runs(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    asked = request(model, table, task="causal-lm", text="note")
    with pytest.raises(InputError) as error:
        workflow.adapt(asked, tmp_path / "run", QUIET)
    assert str(error.value).startswith(
        "causal-lm needs a model that reads from left to right, which 'bert' does not"
    )
    assert not calibrated
    assert not (tmp_path / "run").exists()


def test_a_decoder_may_predict_text(table: Path, tmp_path: Path, calibrated: list[object]) -> None:
    decoder = tiny.write(tmp_path / "decoder", "llama")
    asked = request(decoder, table, task="causal-lm", text="note", methods=("linear-probe", "lora"))
    plan, record = planned(asked, tmp_path / "run")
    assert plan.setup.task == "causal-lm" and plan.setup.label is None
    assert {c.method for c in plan.candidates} == {"lora"}
    assert record["dropped"] == [
        {"method": "linear-probe", "reason": "the task has no head of its own to train"}
    ]


def test_methods_that_all_refuse_are_no_matter_of_budget(
    table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    decoder = tiny.write(tmp_path / "decoder", "llama")
    asked = request(decoder, table, task="causal-lm", text="note", methods=("linear-probe",))
    with pytest.raises(InputError) as error:
        workflow.adapt(asked, tmp_path / "run", QUIET)
    assert not isinstance(error.value, BudgetError)
    assert str(error.value) == (
        "none of the methods can adapt this model, but got {'linear-probe': 'the task has no head "
        "of its own to train'}. Choose other --methods"
    )


def test_a_time_budget_gathers_what_it_can(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Planning that took the whole budget is told with the limits that were given."""
    clock = iter([100.0, 1000.0])
    monkeypatch.setattr(workflow, "time", SimpleNamespace(perf_counter=lambda: next(clock, 1000.0)))
    asked = request(model, table, budget=Budget(trainable=0.05, time=600))
    with pytest.raises(BudgetError) as error:
        workflow.adapt(asked, tmp_path / "run", QUIET)
    assert "more than the 0 ms that are left for training" in str(error.value)
    nearest = Budget.parse(error.value.nearest)
    assert nearest.trainable == 0.05
    assert nearest.time is not None and nearest.time > 900 + 60
    assert not (tmp_path / "run").exists()


def test_virtual_tokens_leave_room_for_the_window(
    model: Path, table: Path, tmp_path: Path, calibrated: list[object]
) -> None:
    """The model has 64 positions for both."""
    asked = request(model, table, methods=("lora", "prompt"), window=60)
    plan, _ = planned(asked, tmp_path / "room")
    sizes = [c.size for c in plan.candidates if c.method == "prompt"]
    assert sizes and max(sizes) == 4
    plan, record = planned(request(model, table, methods=("lora", "prompt"), window=64),
                           tmp_path / "none")  # fmt: skip
    assert {c.method for c in plan.candidates} == {"lora"}
    assert record["dropped"] == [
        {
            "method": "prompt",
            "reason": "tokens=1 puts up to 1 tokens in front of a window of 64, "
            "and the model takes 64",
        }
    ]
