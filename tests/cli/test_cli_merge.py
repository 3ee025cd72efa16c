"""``parsimony merge``: a plain model beside the run, and what folding changed."""

from __future__ import annotations

import json
from pathlib import Path

import made_runs
import pytest
import transformers

from parsimony.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["merge", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def test_the_merged_model_lies_in_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_runs.make(tmp_path, {"lora": 2}).folder
    code, out, err = call(capsys, run)
    assert code == 0
    assert err.splitlines()[-1] == f"Merged model written to {run / 'merged'}"
    lead, _, rest = out.partition("largest change of an output is ")
    assert lead == "On 12 test rows the "
    value, _, changed = rest.partition("; ")
    assert float(value) <= 1e-5 and changed == "0 predictions changed\n"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(run / "merged"))
    assert model.config.num_labels == 3
    assert call(capsys, run) == (
        2, "",
        f"parsimony: the merged model needs a new folder, but got '{run / 'merged'}'. Choose "
        "--out\n",
    )  # fmt: skip
    code, out, err = call(capsys, run, "--out", tmp_path / "a" / "b", "--json", "--quiet")
    assert code == 0
    found = json.loads(out)
    assert found.pop("largest_change") <= 1e-5
    assert found == {"model": str(tmp_path / "a" / "b"), "rows": 12, "changed_predictions": 0}


def test_a_regression_is_told_without_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_runs.make(tmp_path, {"bias": 0}, task="regression").folder
    code, out, _ = call(capsys, run, "--quiet")
    assert code == 0
    assert out.startswith("On 12 test rows the largest change of an output is ")
    assert "predictions" not in out


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (
            "prompt",
            "'prompt' cannot be merged into the base weights. Load it as an adapter instead; the "
            "report shows how",
        ),
        ("full", "'full' trained the whole model: it is merged already. Use {run}/model"),
    ],
)
def test_refusals_in_one_line(
    method: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_runs.make(tmp_path, {method: 2 if method == "prompt" else 0}).folder
    assert call(capsys, run) == (2, "", f"parsimony: {line.format(run=run)}\n")
    assert not (run / "merged").exists()


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, tmp_path) == (
        2, "",
        f"parsimony: a run folder needs a config.json, but got '{tmp_path}'. Check the path, or "
        "start a new run in another folder\n",
    )  # fmt: skip
