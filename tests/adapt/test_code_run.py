"""``--task code``: from prompts and code to answers that are scored, by the command line."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_run
import transformers

from parsimony.adapt import workflow
from parsimony.adapt.loading import load_run
from parsimony.adapt.setup import Plan
from parsimony.adapt.trial import folder_of, scores_of
from parsimony.core import artifacts, code_scores, trials
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.testing import tiny

SETTINGS = ["--task", "code", "--methods", "lora,in-context", "--budget", "trainable=50%",
            "--configurations", "1", "--seeds", "3", "--batch", "8", "--workers", "1",
            "--epochs", "1", "--window", "30"]  # fmt: skip
NAMES = ("edit similarity", "exact match", "CodeBLEU")


def command(home: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "parsimony", "adapt", str(home / "model"),
            str(home / "rows.jsonl"), *SETTINGS, *more]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(a folder with ``run``, what the command printed)"""
    home = tmp_path_factory.mktemp("code")
    tiny.write(home / "model", "llama")
    rows = [{"prompt": f"# add {n}\n", "completion": f"return a + {n}\n"} for n in range(40)]
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = small_run.call(
        command(home, "--answers", "5", "--new-tokens", "9", "--out", str(home / "run"))
    )
    return home, done.stdout


def test_the_finalists_are_judged_by_what_they_write(made: tuple[Path, str]) -> None:
    run = made[0] / "run"
    result, plan = artifacts.read_json(run / "result.json"), Plan.read(run)
    assert result["metric"] == {
        "name": "edit similarity", "unit": "share", "higher_is_better": True
    }  # fmt: skip
    assert result["search"]["metric"]["name"] == "loss per completion token"
    settings = artifacts.read_json(run / "config.json")["settings"]
    assert (settings["answers"]["value"], settings["new_tokens"]["value"]) == (5, 9)
    assert any("answer 5 of the 8 test rows" in n for n in result["data"]["notices"])
    for row in result["leaderboard"]:
        candidate = next(c for c in plan.candidates if c.label == row["candidate"])
        folders = [folder_of(run, candidate, seed) for seed in plan.seeds]
        for name in NAMES:
            scores = np.stack([scores_of(f, "test", plan.steps, name) for f in folders])
            assert scores.shape == (3, 5)
            shown = next((b for b in row["beside"] if b["name"] == name), row)
            assert shown["score"] == trials.bootstrap(scores).as_dict()


def test_the_scores_are_those_of_what_is_handed_over(made: tuple[Path, str]) -> None:
    run = made[0] / "run"
    result, plan = artifacts.read_json(run / "result.json"), Plan.read(run)
    chosen = result["recommendation"]
    candidate = next(c for c in plan.candidates if c.label == chosen["candidate"])
    model, questions = load_run(run).model, plan.setup.questions("test")
    again = code_scores.scores(
        [q.answer for q in questions], plan.setup.written(model, questions, batch=2)
    )
    folder = folder_of(run, candidate, chosen["seed"])
    for name in NAMES:
        assert np.array_equal(again[name], scores_of(folder, "test", plan.steps, name))


def test_in_context_runs_beside_what_trains(made: tuple[Path, str]) -> None:
    result = artifacts.read_json(made[0] / "run" / "result.json")
    shown = next(row for row in result["leaderboard"] if row["method"] == "in-context")
    assert (shown["size"], shown["trainable"], shown["mergeable"]) == (
        {"name": "k", "value": 1}, 0, False
    )  # fmt: skip
    assert result["baseline"]["candidate"] == "in-context k=1"
    assert shown["settings"]["learning_rate"] == 0


def test_terminal_report_and_table_show_all_three(made: tuple[Path, str]) -> None:
    home, printed = made
    page = (home / "run" / "report.html").read_text()
    heading = next(csv.reader((home / "run" / "leaderboard.csv").open()))
    for name in NAMES:
        assert f"Test {name}" in printed
        assert f"Test {name}</th>" in page
    assert {"exact match", "exact match low", "CodeBLEU high"} <= set(heading)
    assert "Validation loss per completion token</th>" in page
    assert "no difference found" in printed


def test_the_snippet_asks_it(made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made[0] / "run")
    space: dict[str, Any] = {}
    exec(artifacts.read_json(Path("result.json"))["recommendation"]["load"], space)
    assert space["answer"].shape[1] <= space["prompt"]["input_ids"].shape[1] + 32
    assert isinstance(space["tokenizer"], transformers.PreTrainedTokenizerBase)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"new_tokens": 25},
            "no prompt of the validation split leaves room for an answer of 25 tokens in the "
            "window of 30. Lower --new-tokens, or raise --window",
        ),
        ({"answers": 0}, "--answers must be a positive number, but got 0"),
        ({"new_tokens": -1}, "--new-tokens must be a positive number, but got -1"),
    ],
)
def test_errors(made: tuple[Path, str], more: dict[str, int], message: str) -> None:
    home = made[0]
    asked = workflow.Request(
        str(home / "model"), str(home / "rows.jsonl"), task="code", window=30, **more
    )
    with pytest.raises(InputError) as error:
        workflow.adapt(asked, home / "none", Console(quiet=True))
    assert str(error.value) == message
    assert not (home / "none").exists()
