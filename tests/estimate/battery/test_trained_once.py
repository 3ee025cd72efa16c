"""A surrogate that the cache keeps, and the command that trains one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.estimate.battery import trained_once, workflow
from parsimony.estimate.battery.estimator import BatteryCalibrator

TINY = workflow.Request(share=0.0, curves=0, adam=0, lbfgs=1, interior=2, boundary=1)


def test_it_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path))
    first = trained_once.folder(TINY)
    before = (first / "manifest.json").stat().st_mtime_ns
    assert trained_once.folder(TINY) == first
    assert (first / "manifest.json").stat().st_mtime_ns == before
    # The folder of the training is understood too.
    assert BatteryCalibrator(first, sampler="solver").set_params(surrogate=first).surrogate == first
    with pytest.raises(Exception, match="trained on a box, not on one point"):
        BatteryCalibrator(first).physics()


def test_a_killed_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path))

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "climb", stopped)
        with pytest.raises(KeyboardInterrupt):
            trained_once.folder(TINY)
    assert (trained_once.folder(TINY) / "surrogate/surrogate.json").is_file()


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["estimate", "battery", "train", *map(str, words)])
    return int(stop.value.code or 0)


def test_the_command_trains_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "point"
    assert run("--out", out, "--point", "--data", "0", "--adam", "0", "--lbfgs", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(out) and found["mean_error_mV"] > 0
    assert run("--resume", out) == 0
    assert "curves that it has not seen" in capsys.readouterr().out
    assert run("--resume", out, "--adam", "3") == 2
    assert "--resume goes on with the settings of the run" in capsys.readouterr().err
    assert run("--dry-run", "--hierarchy", "reference", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hierarchy"] == "reference"
    assert run("--dry-run", "--hierarchy", "refernce") == 2
    assert "Did you mean 'reference'?" in capsys.readouterr().err
    assert run("--dry-run", "--data", "5") == 2
    assert "the number of curves must be a square" in capsys.readouterr().err
