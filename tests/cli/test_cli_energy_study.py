"""``parsimony plan energy-study``: the design, a whole study, and one that is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.core import artifacts
from parsimony.core.pages import Page

ARMS = """
import os, signal
from pathlib import Path

def work(seed, factor):
    log = Path(__file__).with_name("log")
    log.write_text(log.read_text() + "x" if log.exists() else "x")
    if Path(__file__).with_name("kill").exists() and len(log.read_text()) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"samples": 10, "accuracy": 0.9}
"""
STUDY = """
arms:
  - {name: slow, function: "made_arms:work", arguments: {factor: 2}}
  - {name: fast, function: "made_arms:work", arguments: {factor: 1}}
runs: 3
meter: none
country: null
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "made_arms.py").write_text(ARMS)
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return file


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "energy-study", *words])
    return int(stop.value.code or 0)


def test_a_dry_run_prints_the_design_and_runs_nothing(config: Path, capsys) -> None:
    assert call(str(config), "--dry-run") == 0
    said = capsys.readouterr().out
    assert said.startswith("3 runs of each arm, 1 test at 0.05 or more (Holm). Power 0.")
    assert "\n2      " in said
    assert call(str(config), "--dry-run", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["order"]) == 6
    assert not (config.parent / "log").exists() and not (config.parent / "runs").exists()


def test_a_killed_study_is_resumed(config: Path, capsys) -> None:
    (config.parent / "kill").touch()
    command = [sys.executable, "-m", "parsimony", "plan", "energy-study", str(config)]
    done = subprocess.run([*command, "--out", "run"], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = config.parent / "run"
    kept = {f.name: f.read_bytes() for f in (run / "runs").iterdir()}
    assert set(kept) == {"0.json", "1.json"}  # two warm-ups, two runs, and the one that was killed
    (config.parent / "kill").unlink()
    assert call("--resume", str(run), "--json", "--quiet") == 0
    result = json.loads(capsys.readouterr().out)
    assert {f.name for f in (run / "runs").iterdir()} == {f"{n}.json" for n in range(6)}
    assert all((run / "runs" / name).read_bytes() == data for name, data in kept.items())
    assert [(a["name"], a["runs"], a["joules"]) for a in result["arms"]] == [
        ("slow", 3, None),
        ("fast", 3, None),
    ]
    artifacts.verify(run)
    assert call("--resume", str(run)) == 0
    said = capsys.readouterr().out
    assert said.startswith("Means of one run; energy is not known, idle included")
    assert "Carbon at 475 g/kWh (world average, as no country is given). Everything is in" in said


@pytest.mark.parametrize("words", [(), ("study.yaml", "--resume", "run")])
def test_a_config_or_a_folder(config: Path, capsys, words: tuple[str, ...]) -> None:
    assert call(*words) == 2
    assert "a study needs either its CONFIG or --resume with its folder" in capsys.readouterr().err


def test_a_study_keeps_its_page_and_report_draws_it(config: Path, capsys) -> None:
    assert call(str(config), "--out", "run", "--quiet") == 0
    page = Page.model_validate(artifacts.read_json(Path("run/page.json")))
    assert page.title == "fast against slow"
    drawn = {figure.title for section in page.sections for figure in section.figures}
    assert "Time of a run" in drawn
    with pytest.raises(SystemExit) as stop:
        main(["report", "run", "--quiet"])
    assert not stop.value.code
    artifacts.verify(Path("run"))
    assert "fast against slow" in Path("run/report.html").read_text(encoding="utf-8")
