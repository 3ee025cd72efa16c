"""``parsimony estimate battery``: a curve is made, what it can tell is said, it is inferred."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from parsimony.cli import main

BATTERY = ["estimate", "battery"]


@pytest.fixture
def curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "cell.csv"
    with pytest.raises(SystemExit) as stop:
        main([*BATTERY, "simulate", "--k1", "1", "--k2", "3", "--noise", "0.5mV", "--points",
                   "30", "--json", "-q", "--out", str(file)])  # fmt: skip
    assert stop.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == 30 and told["noise_V"] == pytest.approx(0.0005)
    return file


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*BATTERY, *map(str, words)])
    return int(stop.value.code or 0)


def test_a_curve_is_inferred(
    curve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("--voltage", curve, "--noise", "0.5mV", "--warmup", "8", "--draws", "20", "--report",
               tmp_path / "page.html", "--out", tmp_path / "out")  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 0
    # What the curve can tell comes first.
    assert out.index("What the curve can tell") < out.index("Posterior, 95 % intervals")
    assert "Sampling" in err and "The report is written to" in err
    assert "What the curve can tell" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "out/manifest.json").is_file()
    found = json.loads((tmp_path / "out/calibration.json").read_text())["parameters"]
    assert found["k1"]["low"] < 1 < found["k1"]["high"]
    assert found["k2"]["low"] < 3 < found["k2"]["high"]
    assert run("--voltage", curve, "--out", tmp_path / "out") == 2
    assert "--out needs a new or empty folder" in capsys.readouterr().err


def test_json_is_all_that_is_printed(curve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run("--voltage", curve, "--noise", "0.5mV", "--warmup", "4", "--draws", "8", "--json")
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["noise_V"] == pytest.approx(0.0005) and found["points"] == 30
    assert found["identifiability"]["k2"]["verdict"] == "told"


def test_a_dry_run_only_says_what_can_be_told(
    curve: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--voltage", curve, "--dry-run") == 0
    out, _ = capsys.readouterr()
    assert "What the curve can tell" in out and "Posterior" not in out
    assert run("--voltage", curve, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)["identifiability"]
    assert told["k1"]["verdict"] == "told"


def test_the_inputs_faults_are_one_line(
    curve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(curve)
    table.assign(time=table["time"] / 3600).to_csv(tmp_path / "hours.csv", index=False)
    for words, says in (
        (("--voltage", tmp_path / "hours.csv"), "They look like hours: multiply by 3600"),
        (("--voltage", curve, "--noise", "3"), "a number with its unit, such as 3mV"),
        (("--voltage", curve, "--noise", "0mV"), "a positive standard deviation"),
        (("--voltage", curve, "--columns", "zeit=t"), "time=NAME,voltage=NAME"),
        (("--voltage", curve, "--sampler", "both"), "estimate battery train --out"),
    ):
        assert run(*words) == 2
        err = capsys.readouterr().err
        assert says in err and err.count("\n") == 1
