"""A surrogate in a run folder: complete or resumable, measured, and trained once where cached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.core import artifacts
from parsimony.core.errors import InputError, ParsimonyError
from parsimony.estimate.battery import hierarchy, workflow
from parsimony.estimate.battery.surrogate import Surrogate

TINY = workflow.Request(data=1, adam=1, lbfgs=2)


def test_a_run_ends_in_a_surrogate(tmp_path: Path) -> None:
    found = workflow.train(TINY, tmp_path / "run")
    artifacts.verify(tmp_path / "run")
    assert not (tmp_path / "run" / workflow.CHECKPOINTS).exists()
    assert found["iterations"] == [2] and 0 < found["mean_V"] < found["max_V"]
    loaded = Surrogate.load(tmp_path / "run")
    assert str(loaded.box) == "k1 in [0.5, 4], k2 in [1, 10]"
    assert workflow.resume(tmp_path / "run") == found
    with pytest.raises(InputError, match="a new run needs an empty folder"):
        workflow.train(TINY, tmp_path / "run")


def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = workflow.Request(data=0, adam=0, lbfgs=2, hierarchy="simple")
    workflow.train(request, tmp_path / "whole")
    real, calls = hierarchy.train, []

    def killed(*given: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(hierarchy, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        workflow.train(request, tmp_path / "killed")
    assert not artifacts.is_sealed(tmp_path / "killed")
    with pytest.raises(ParsimonyError, match=r"surrogate\.json"):
        Surrogate.load(tmp_path / "killed")
    workflow.resume(tmp_path / "killed")
    weights = [
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "killed")
    ]
    assert weights[0] == weights[1]
    assert len(Surrogate.load(tmp_path / "killed").levels) == 2


def test_it_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path))
    first = workflow.cached(TINY)
    before = (first / "manifest.json").stat().st_mtime_ns
    assert workflow.cached(TINY) == first
    assert (first / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hierarchy": "tower"}, "unknown hierarchy, but got 'tower'. Known: none, point, simple"),
        ({"network": "mergd"}, "Did you mean 'merged'?"),
        ({"hierarchy": "point", "share": 0.0}, "from the point to the box needs a box"),
        ({"data": -1}, "the number of curves must be 0 or a square"),
        ({"share": 2.0}, "the share of the box must be between 0 and 1"),
    ],
)
def test_what_cannot_be_trained_is_said(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        workflow.Request(**changes)  # type: ignore[arg-type]
    assert says in str(caught.value)


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["estimate", "battery", "train", *map(str, words)])
    return int(stop.value.code or 0)


def test_the_command_trains_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "point"
    assert run("--out", out, "--point", "--data", "0", "--adam", "1", "--lbfgs", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(out) and found["mean_V"] > 0
    assert run("--resume", out) == 0
    assert "mV mean error of the voltage" in capsys.readouterr().out
    assert run("--resume", out, "--adam", "3") == 2
    assert "--resume goes on with the settings of the run" in capsys.readouterr().err
    assert run("--dry-run", "--hierarchy", "point", "--json") == 0
    assert json.loads(capsys.readouterr().out)["levels"] == 2
