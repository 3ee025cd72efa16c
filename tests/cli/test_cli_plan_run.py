"""``parsimony plan run``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from parsimony.cli import main
from parsimony.core import artifacts
from parsimony.core.pages import Page
from parsimony.plan.cluster import hardware

MODEL = "layers=2,hidden=32,heads=4,vocabulary=256,positions=16"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["plan", *arguments])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plan for one device."""
    file = tmp_path_factory.mktemp("plans") / "tiny.yaml"
    with pytest.raises(SystemExit):
        main(["plan", "cluster", MODEL, "laptop", "--batch", "4", "--sequence", "16",
              "--fix", "micro_batch=2,recompute=none", "--out", str(file), "--quiet"])  # fmt: skip
    return str(file)


def test_a_dry_run_predicts(capsys: pytest.CaptureFixture[str], plan: str) -> None:
    code, out, err = call(capsys, "run", plan, "--dry-run", "--backend", "gloo")
    assert (code, err) == (0, "")
    assert out.startswith("1 process on gloo, 10 steps, each predicted to take ")
    code, out, err = call(capsys, "run", plan, "--dry-run", "--json", "--steps", "3")
    found = json.loads(out)
    assert (code, err, found["processes"], found["settings"]["steps"]) == (0, "", 1, 3)
    assert found["prediction"]["seconds"]["provenance"] == "estimated"


def test_a_run(capsys: pytest.CaptureFixture[str], plan: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("--steps", "2", "--backend", "gloo", "--out", str(folder), "--json")
    code, out, err = call(capsys, "run", plan, *arguments)
    layout = "tensor=1,pipeline=1,data=1,zero=0,micro_batch=2,recompute=none,chunks=1"
    assert (code, err) == (0, f"1 process: {layout}\n")
    found = json.loads(out)
    assert found["run"] == str(folder) and found["layout"] == layout
    assert len(found["losses"]) == 2 and found["parameters"]["value"] == 34_176
    settings = json.loads((folder / "config.json").read_text())["settings"]
    assert settings["steps"] == {"value": 2, "source": "given"}
    assert settings["seed"] == {"value": 0, "source": "default"}
    code, out, err = call(capsys, "run", "--resume", str(folder))
    assert (code, err) == (0, f"{folder} is complete\n")
    first, second, third, last = out.splitlines()
    assert first.startswith(f"{layout}: loss 5.") and first.endswith(" in 2 steps")
    assert second.startswith("A step took ") and "with the measured figures" in second
    assert "of the peak while computing" in third
    assert last == f"Plan again with: parsimony plan cluster MODEL {folder}/cluster.yaml"
    page = Page.model_validate(json.loads((folder / "page.json").read_text()))
    loss, taken = page.sections[0].figures
    assert loss.series[0].y == found["losses"]
    parts = dict(taken.rows)
    told = ("predicted", "predicted_seconds"), (
        "predicted with the measured figures", "seconds_with_measured_figures"
    )  # fmt: skip
    assert all(sum(parts[row]) == pytest.approx(found[name]) for row, name in told)
    code, _, err = call(capsys, "cluster", MODEL, str(folder / "cluster.yaml"), "--batch", "4",
                        "--sequence", "16")  # fmt: skip
    assert (code, err) == (0, "")


def test_processes_of_torchrun_are_the_layouts(tmp_path: Path) -> None:
    cluster, plan, folder = (str(tmp_path / name) for name in ("two.yaml", "plan.yaml", "run"))
    fields = hardware.load("laptop").of(2).fields()
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(SystemExit):
        main(["plan", "cluster", MODEL, cluster, "--batch", "4", "--sequence", "16", "--fix",
              "pipeline=2,micro_batch=2", "--out", plan, "--quiet"])  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "parsimony", "plan", "run", plan, "--steps", "2", "--backend", "gloo",
         "--out", folder, "--json"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["losses"]) == 2 and "pipeline=2" in found["layout"]
    assert artifacts.is_sealed(tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "a run needs a PLAN, or --resume with its folder"),
        (
            ("missing.yaml",),
            "a plan is a YAML file of 'plan cluster --out', but got 'missing.yaml'",
        ),
        (("--resume", "x", "--steps", "3"), "a resumed run keeps its settings, but got '--steps'"),
        (
            ("--resume", "x"),
            "a run folder needs a config.json, but got 'x'. "
            "Check the path, or start a new run in another folder",
        ),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert call(capsys, "run", *arguments) == (2, "", f"parsimony: {words}\n")


def test_ctrl_c_ends_all_and_names_the_command(plan: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["plan", "run", plan, "--steps", "100000", "--backend", "gloo", "--out"]
    with subprocess.Popen(
        [sys.executable, "-m", "parsimony", *arguments, str(folder), "--quiet"],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        events = folder / "events.jsonl"
        while process.poll() is None and (
            not events.is_file() or '"step": 1,' not in events.read_text()
        ):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    command = f"parsimony plan run --resume {folder}"
    assert (process.returncode, said) == (
        130,
        f"parsimony: interrupted. Continue with: {command}\n",
    )
    assert not psutil.pid_exists(json.loads((folder / "processes/0.json").read_text()))
