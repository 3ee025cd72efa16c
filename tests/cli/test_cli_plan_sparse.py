"""``parsimony plan sparse``: the table, the sweep, the JSON, a model's own counts, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.testing import tiny


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "sparse", "--sparsity", "0.8", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


RELEASED = ("--params", 1.139e9, "--steps", "2500,12600,25050", "--every", 50,
            "--batch-tokens", 2**23)  # fmt: skip


def test_the_released_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *RELEASED)
    assert code == 0 and out.startswith("203 prunings, every 50 steps\n")
    assert "25,050  schedule" in out
    assert "Note: 25.0% and 75.1% of the compute are 10.0% and 50.3% of the steps\n" in err
    code, out, err = call(capsys, *RELEASED, "--json", "--quiet")
    told = json.loads(out)
    assert (code, err, told["schedule"]["prunings"]) == (0, "", 203)
    assert told["plan"]["average_density"]["value"] == pytest.approx(0.39941, abs=5e-6)
    assert told["sweep"] == []


def test_a_sweep_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--compute", "1e21", "--sweep", "--quiet")
    assert code == 0 and out.startswith("Equal size and compute; the least predicted loss first\n")
    assert out.count("\n") == 82
    _, out, _ = call(capsys, "--compute", "1e21", "--sweep", "--json", "--quiet")
    assert len(json.loads(out)["sweep"]) == 80


def test_a_model_gives_both_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.config("llama").save_pretrained(tmp_path)
    asked = ("--model", tmp_path, "--tokens", 1e9, "--batch-tokens", 1e5, "--beyond")
    code, out, _ = call(capsys, *asked, "--json")
    assert code == 0
    pruned, notes = json.loads(out)["plan"], json.loads(out)["notes"]
    assert "parameters are prunable" in notes[0]
    value = pruned["params_before"]["value"]
    assert notes[0].startswith(f"{tmp_path}: {value:,.0f} of ")
    _, out, _ = call(capsys, *asked, "--count", "total", "--json")
    whole = json.loads(out)["plan"]
    assert whole["params_before"]["value"] > value
    removed = [p["params_before"]["value"] - p["params_after"]["value"] for p in (pruned, whole)]
    assert removed[0] == pytest.approx(removed[1])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--params", "1e9", "--steps", "10,20"),
            "--steps takes START,END,TOTAL, such as 2500,126",
        ),
        (("--model", "{model}", "--count", "all", "--tokens", "1e9"), "--count is prunable or tot"),
        (("--model", "{model}", "--params", "1e9"), "--model gives the sizes: leave out --params"),
        (("--compute", "1e21", "--end", "75"), "Are they 0.25 and 0.75?"),
    ],
)
def test_a_wrong_option_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str
) -> None:
    tiny.config("llama").save_pretrained(tmp_path)
    code, out, err = call(capsys, *(a.format(model=tmp_path) for a in arguments))
    assert (code, out) == (2, "") and text in err and err.count("\n") == 1
