"""``parsimony compress``: what people see, what machines read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.testing import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny language model and a table of texts."""
    folder = tmp_path_factory.mktemp("place")
    tiny.write(folder / "lm", "llama")
    rows = [
        f"row {i} says {'abcdefghij'[i % 10] * (i % 7 + 3)} and then {i * i}" for i in range(90)
    ]
    pd.DataFrame({"text": rows}).to_csv(folder / "texts.csv", index=False)
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["compress", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def common(place: Path) -> list[object]:
    return [place / "lm", "--calibration", place / "texts.csv", "--samples", 6, "--window", 16,
            "--batch", 4]  # fmt: skip


def test_a_compression_shows_every_step_the_size_and_the_speed(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, shown, said = call(
        capsys, *common(place), "--prune", "magnitude:50%", "--quantize", "gptq:w4g16", "--out", out
    )
    assert code == 0, said
    lines = shown.splitlines()
    assert lines[0] == ("Held-out windows, 95 % intervals of paired differences to the original")
    steps = [line.split()[0] for line in lines[2:5]]
    assert steps == ["original", "pruned", "gptq:w4g16"]
    assert any(line.startswith("Size:    ") and "(tensors on disk)" in line for line in lines)
    assert any(line.startswith("Memory:  ") and "the original 209.9 KiB" in line for line in lines)
    assert any(line.startswith("Speed:   ") and "on this machine" in line for line in lines)
    assert "Pruning: magnitude:0.5" in said and "Quantizing: gptq:w4g16" in said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Bytes of tensors on disk" in page and "What each step changed" in page
    code, shown, said = call(capsys, "--resume", out, "--json", "--quiet")
    assert code == 0 and not said
    assert json.loads(shown)["chosen"] == "gptq:w4g16"


def test_a_dry_run_predicts_and_writes_nothing(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, shown, _ = call(capsys, *common(place), "--budget", "size=45%", "--dry-run", "--quiet")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].endswith(" stored")
    assert [line.split(":w4g32")[0] for line in lines[1:4]] == ["rtn", "gptq", "awq+rtn"]
    assert lines[-1].startswith("calibration: ") and lines[-1].endswith("predicted at the peak")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--prune", "wanda:2:5"], 2, "the pattern 2:5 needs a multiple of 5 inputs"),
        (["--budget", "size=1%"], 3, "the checkpoint must take at most 1.0% of"),
        (["--quantize", "gptq:w4g16", "--budget", "memory=100kB"], 3, "the calibration needs"),
        (["--quantize", "awq+gptq:w9"], 2, "a grid has 2 to 8 bits"),
        (["--prune", "wanda:50%", "--retrain", "masklora:rank=3"], 2, "masklora has the options"),
        (["--resume", "nowhere"], 2, "--resume goes on with the settings of the run"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
    code: int, text: str,
) -> None:  # fmt: skip
    ended, shown, said = call(
        capsys, *common(place), *arguments, *([] if "--resume" in arguments else
        ["--out", tmp_path / "run"]),
    )  # fmt: skip
    assert ended == code, said
    assert text in said and not shown


def test_a_checkpoint_is_checked_without_being_loaded(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert call(capsys, *common(place), "--quantize", "rtn:w4g16", "--out", out, "-q")[0] == 0
    code, shown, _ = call(capsys, "check", out / "model")
    assert code == 0
    assert shown.startswith(f"{out / 'model'} is sound: 28 layers in codes (28 in 4 bits), ")
    assert json.loads(call(capsys, "check", out / "model", "--json")[1])["layers"] == 28
    (out / "model" / "extra.pt").write_bytes(b"\x80\x02}q\x00.")
    code, _, said = call(capsys, "check", out / "model")
    assert code == 2 and "extra.pt" in said
