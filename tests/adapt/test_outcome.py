"""What a run leaves behind agrees with itself, and loads with peft and transformers alone."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_runs
import numpy as np
import peft
import pytest
import small_run
import torch
import transformers
from conftest import Finished

from parsimony.adapt.loading import load_run
from parsimony.adapt.setup import Plan
from parsimony.adapt.trial import folder_of, scores_of
from parsimony.cli import main
from parsimony.core import artifacts, pretrained, scoring
from parsimony.core.run import Run, versions
from parsimony.report import schema
from parsimony.testing import tiny


@pytest.fixture(scope="module")
def result(finished: Finished) -> dict[str, Any]:
    found: dict[str, Any] = artifacts.read_json(finished.folder / "result.json")
    return found


@pytest.fixture(scope="module")
def plan(finished: Finished) -> Plan:
    return Plan.read(finished.folder)


# --- one real run ---


def test_the_report_reads_the_result(finished: Finished, result: dict[str, Any]) -> None:
    read = schema.read_result(finished.folder)
    assert read.recommendation.candidate == result["recommendation"]["candidate"]
    assert [row.candidate for row in read.leaderboard] == [
        row["candidate"] for row in result["leaderboard"]
    ]
    for row in read.leaderboard:
        assert row.predicted_memory and row.measured_memory


def test_the_leaderboard_file_agrees_with_the_result(
    finished: Finished, result: dict[str, Any]
) -> None:
    with (finished.folder / "leaderboard.csv").open(newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    assert len(found) == len(result["leaderboard"]) >= 2
    for line, row in zip(found, result["leaderboard"], strict=True):
        gap = row["difference"] or {"estimate": "", "low": "", "high": ""}
        assert line == {
            "candidate": row["candidate"],
            "method": row["method"],
            "size": str(row["size"]["value"]) if row["size"] else "",
            "learning_rate": str(row["settings"]["learning_rate"]),
            "dropout": str(row["settings"]["dropout"]),
            "seeds": "3",
            "test": str(row["score"]["estimate"]),
            "test_low": str(row["score"]["low"]),
            "test_high": str(row["score"]["high"]),
            "difference": str(gap["estimate"]),
            "difference_low": str(gap["low"]),
            "difference_high": str(gap["high"]),
            "validation": str(row["validation"]),
            "trainable": str(row["trainable"]),
            "trainable_share": str(row["trainable_share"]),
            "stored_bytes": str(row["stored_bytes"]),
            "verdict": row["verdict"],
        }


def test_the_leaderboard_is_ordered_and_names_one_recommendation(result: dict[str, Any]) -> None:
    rows = result["leaderboard"]
    estimates = [row["score"]["estimate"] for row in rows]
    assert estimates == sorted(estimates, reverse=True)
    recommended = [row for row in rows if row["verdict"] == "recommended"]
    assert [row["candidate"] for row in recommended] == [result["recommendation"]["candidate"]]
    tied = [row["candidate"] for row in rows if row["verdict"] == "no difference"]
    assert sorted(tied) == sorted(result["recommendation"]["tied_with"])
    assert result["recommendation"]["no_difference"] == bool(tied)
    for row in rows:
        assert row["trainable_share"] == row["trainable"] / result["model"]["parameters"]


def test_the_rows_are_the_stored_scores(
    finished: Finished, result: dict[str, Any], plan: Plan
) -> None:
    """Every figure of the leaderboard is recomputed from what the trials stored."""
    by_label = {row["candidate"]: row for row in result["leaderboard"]}
    finals = {t["candidate"] for t in result["trials"] if t["rung"] == len(plan.rungs)}
    assert finals == set(by_label)
    for trial in result["trials"]:
        if trial["rung"] == len(plan.rungs):
            scores = scores_of(finished.folder / trial["folder"], "validation", plan.steps)
            assert trial["validation"] == pytest.approx(scores.mean(), abs=1e-12)
    for label, row in by_label.items():
        folders = {t["folder"] for t in result["trials"] if t["candidate"] == label}
        scored = [
            scores_of(finished.folder / f, "test", plan.steps)
            for f in sorted(folders)
            if (finished.folder / f / "scores" / f"test-{plan.steps}.safetensors").is_file()
        ]
        assert len(scored) == 3
        assert row["score"]["estimate"] == pytest.approx(np.mean(scored), abs=1e-12)
        assert row["score"]["low"] <= row["score"]["estimate"] <= row["score"]["high"]


def test_the_shipped_adapter_scores_what_its_trial_scored(
    finished: Finished, result: dict[str, Any], plan: Plan
) -> None:
    chosen = result["recommendation"]
    loaded = load_run(finished.folder)
    torch.set_num_threads(plan.setup.threads)
    trials = [
        t for t in result["trials"]
        if (t["candidate"], t["seed"], t["steps"])
        == (chosen["candidate"], chosen["seed"], plan.steps)
    ]  # fmt: skip
    for split in ("validation", "test"):
        rows = plan.setup.rows(split)
        again = scoring.score(loaded.model, rows, loaded.collator, plan.setup.task).scores
        stored = scores_of(finished.folder / trials[0]["folder"], split, plan.steps)
        assert again.tolist() == stored.tolist()


def test_plain_peft_loads_the_adapter_with_the_same_outputs(finished: Finished) -> None:
    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        str(finished.model), num_labels=3
    )
    plain = peft.PeftModel.from_pretrained(base, str(finished.folder / "adapter")).eval()
    ours = load_run(finished.folder)
    batch = ours.tokenizer(made_runs.texts(), padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(plain(**batch).logits, ours.model(**batch).logits)


def test_the_load_snippet_runs_as_it_stands(finished: Finished, result: dict[str, Any]) -> None:
    code = result["recommendation"]["load"] + (
        "\nprint(type(model).__name__, model.config.num_labels, tokenizer('crash').input_ids)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=finished.folder, env=small_run.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ids = pretrained.tokenizer(pretrained.find(str(finished.model)))("crash")["input_ids"]
    assert done.stdout.strip() == f"PeftModelForSequenceClassification 3 {ids}"


def test_the_adapter_says_where_it_is_from(
    finished: Finished, result: dict[str, Any], plan: Plan
) -> None:
    origin = artifacts.read_json(finished.folder / "adapter" / "parsimony.json")
    assert origin["base_model"] == {
        "name": str(finished.model),
        "path": str(finished.model),
        "sha256": artifacts.sha256(finished.model / "model.safetensors"),
    }
    assert origin["data"] == {
        "name": "tickets.csv",
        "fingerprint": result["data"]["fingerprint"],
        "text": ["note"],
        "label": "kind",
    }
    assert origin["labels"] == ["bug", "thanks", "wish"]
    assert origin["task"] == "text-classification" and origin["window"] == 24
    assert origin["seed"] == result["recommendation"]["seed"] in plan.seeds
    assert origin["versions"] == versions()
    chosen = result["recommendation"]
    assert origin["method"]["name"] == chosen["method"]
    assert origin["method"]["steps"] == plan.steps


def test_every_finalist_is_graded(finished: Finished, result: dict[str, Any]) -> None:
    entries = {(e.subject, e.quantity): e for e in schema.read_ledger(finished.folder) or []}
    finalists = [row["candidate"] for row in result["leaderboard"]]
    exact = ("parameters", "trainable", "stored_bytes", "flops")
    for candidate in finalists:
        for quantity in ("peak_memory", "seconds", *exact):
            entry = entries[candidate, quantity]
            assert entry.predicted and entry.measured and entry.error is not None
            assert entry.error == pytest.approx(entry.predicted / entry.measured - 1)
        for quantity in exact:
            assert entries[candidate, quantity].error == 0
    whole = entries["whole run", "seconds"]
    assert whole.predicted and whole.measured
    measured = artifacts.read_json(finished.folder / "measurement.json")
    assert set(measured) == {*finalists, "whole run"}


def test_the_run_is_complete_and_holds_nothing_for_a_resume(finished: Finished) -> None:
    manifest = artifacts.verify(finished.folder)
    present = {
        f.relative_to(finished.folder).as_posix()
        for f in finished.folder.rglob("*")
        if f.is_file() and f.name not in ("manifest.json", ".lock")
    }
    assert set(manifest["files"]) == present
    artifacts.verify(finished.folder / "adapter")
    for leftover in ("checkpoints", "artifact"):
        assert not list(finished.folder.glob(f"trials/*/{leftover}"))
    kinds = {Path(name).suffix for name in manifest["files"]}
    assert kinds <= {".json", ".jsonl", ".csv", ".arrow", ".parquet", ".safetensors", ".html",
                     ".md", ".journal"}  # fmt: skip


def test_the_report_fetches_nothing(finished: Finished) -> None:
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", page, re.IGNORECASE)
    assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import|fetch\(|XMLHttpRequest", page)
    result = artifacts.read_json(finished.folder / "result.json")
    assert result["recommendation"]["candidate"] in page


def test_the_command_line_says_what_was_found(finished: Finished, result: dict[str, Any]) -> None:
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("Test accuracy, 95 % intervals over seeds and rows")
    assert result["recommendation"]["sentence"] in lines
    assert result["baseline"]["sentence"] in lines
    assert f"Report:  {finished.folder / 'report.html'}" in lines
    assert f"Use it:  parsimony predict {finished.folder} FILE" in lines
    phases = [line for line in finished.stderr.splitlines() if not line.startswith("  ")]
    assert phases[:2] == ["Reading model and data", "Counting what fits the budget"]
    assert phases[-1] == "Final comparison: 3 candidates on 3 seeds"
    for row in result["leaderboard"]:
        assert any(row["candidate"] in line and row["verdict"] in line for line in lines)


def test_the_ledger_command_on_a_run(
    finished: Finished, result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "ledger", str(finished.folder), "--json"])
    assert stop.value.code == 0
    found = json.loads(capsys.readouterr().out)
    stored = artifacts.read_json(finished.folder / "ledger.json")
    assert [{k: v for k, v in e.items() if k != "run"} for e in found["entries"]] == stored
    assert {e["run"] for e in found["entries"]} == {"run"}
    with pytest.raises(SystemExit):
        main(["plan", "ledger", str(finished.folder)])
    text = capsys.readouterr().out
    assert "Predicted and measured" in text and "whole run" in text
    assert "Errors: (predicted - measured) / measured" in text
    for row in result["leaderboard"]:
        assert row["candidate"] in text


# --- made-up scores ---


def test_a_diverged_finalist_is_dropped_and_the_rest_is_judged(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"bias": 0, "lora": 2}, diverged=("bias",))
    assert [row["candidate"] for row in made.result["leaderboard"]] == ["lora r=2"]
    assert made.result["dropped"] == [
        {"method": "bias", "reason": "a training of the finals diverged"}
    ]
    assert made.result["baseline"] is None
    assert "the only candidate" in made.result["recommendation"]["sentence"]


def test_the_artifact_is_that_of_the_best_seed_on_validation(tmp_path: Path) -> None:
    def scores(method: str, split: str, seed: int) -> np.ndarray:
        right = {"validation": {0: 4, 1: 9, 2: 5}, "test": {0: 12, 1: 0, 2: 12}}[split][seed]
        return (np.arange(12) < right).astype(float)

    made = made_runs.make(tmp_path, {"bias": 0}, scores=scores)
    assert made.result["recommendation"]["seed"] == made.origin["seed"] == 1
    again = made_runs.make(tmp_path / "again", {"bias": 0}, scores=scores, complete=False)
    source = folder_of(again.folder, again.plan.candidates[0], 1) / "artifact"
    name = "adapter_model.safetensors"
    shipped = artifacts.sha256(again.folder / "adapter" / name)
    assert shipped == artifacts.sha256(source / name)
    assert shipped == artifacts.sha256(made.folder / "adapter" / name)
    assert Run(made.folder).complete and not Run(again.folder).complete


def test_lower_errors_come_first_and_win(tmp_path: Path) -> None:
    def scores(method: str, split: str, seed: int) -> np.ndarray:
        return np.full(12, {"bias": 0.25, "linear-probe": 1.0}[method])

    made = made_runs.make(
        tmp_path, {"linear-probe": 0, "bias": 0}, task="regression", scores=scores
    )
    assert [row["candidate"] for row in made.result["leaderboard"]] == ["bias", "linear-probe"]
    assert made.result["recommendation"]["candidate"] == "bias"
    assert made.result["baseline"]["sentence"] == (
        "It beats the linear-probe: 0.25 against 1, difference -0.75 (-0.75 to -0.75)."
    )
    assert made.result["metric"] == {
        "name": "mean squared error", "unit": "squared units", "higher_is_better": False
    }  # fmt: skip


def run_snippet(made: made_runs.Made, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(made.folder)
    space: dict[str, Any] = {}
    exec(made.result["recommendation"]["load"], space)
    return space["model"].eval()


def test_the_load_snippet_tells_peft_about_a_tuner_of_ours(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"krona": 4})
    code = made.result["recommendation"]["load"] + "\nprint(model.active_peft_config.peft_type)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made.folder, env=small_run.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "PeftType.KRONA"


@pytest.mark.parametrize(
    ("task", "methods", "architecture"),
    [
        ("text-classification", {"full": 0}, "bert"),
        ("regression", {"lora": 2}, "bert"),
        ("causal-lm", {"lora": 2}, "gpt2"),
        ("instruction", {"lora": 2}, "llama"),
    ],
)
def test_the_load_snippet_gives_our_outputs(
    task: str,
    methods: dict[str, int],
    architecture: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny.write(tmp_path / "it's a model", architecture)
    made = made_runs.make(tmp_path, methods, task=task, model=model)
    plain, ours = run_snippet(made, monkeypatch), load_run(made.folder).model
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, ours(input_ids=ids).logits)


def test_the_load_snippet_replaces_a_head_of_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write(tmp_path / "model")
    headed = transformers.AutoModelForSequenceClassification.from_pretrained(
        str(folder), num_labels=5
    )
    headed.save_pretrained(folder)
    made = made_runs.make(tmp_path, {"lora": 2}, model=folder)
    plain, ours = run_snippet(made, monkeypatch), load_run(made.folder).model
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, ours(input_ids=ids).logits)
