"""``torchrun -m parsimony adapt``: methods, a whole run, and what goes wrong on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import devices_jobs
import peft
import pytest
import small_run

from parsimony.adapt import solve, workflow
from parsimony.adapt.method import Method, methods
from parsimony.adapt.setup import Plan
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.core.run import Run
from parsimony.testing import tiny

HERE = Path(__file__).parent


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes under torchrun, to the end."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         *arguments],
        capture_output=True, text=True, check=False, timeout=400, cwd=HERE,
        env=small_run.environment(),
    )  # fmt: skip


def _jobs(home: Path) -> dict[str, dict]:
    """Methods that are more than parameters of their own: they act between steps, add tokens, or
    train the model itself; and LoRA with all that changes no result."""
    setup = tiny.setup(tiny.write(home / "llama", "llama"), "causal-lm")
    jobs: dict[str, dict] = {}
    for name, way in methods().items():
        if solve.refusal(way, setup):
            continue
        size = solve.sizes(way, setup)[0]
        job = {"method": name, "model": str(home / "llama"), "task": setup.task, "size": size}
        acts = type(way).callbacks is not Method.callbacks
        prompt = not way.full and isinstance(
            way.config(setup.facts, size, 0.0), peft.PromptLearningConfig
        )
        if acts or way.baseline or prompt:
            jobs[name] = job | {"settings": {}}
        if name == "lora":
            jobs["thrifty"] = job | {"settings": {"checkpointing": True, "accumulation": 2}}
    return jobs


@pytest.mark.slow
def test_methods_take_the_same_steps_in_two_processes(tmp_path: Path) -> None:
    jobs = _jobs(tmp_path)
    assert {"lora-ist", "lamda", "full", "prompt", "thrifty"} <= jobs.keys()
    file = tmp_path / "jobs.json"
    two = [job | {"folder": str(tmp_path / f"two-{n}")} for n, job in enumerate(jobs.values())]
    file.write_text(json.dumps(two))
    done = launch("devices_jobs.py", "methods", str(file))
    assert done.returncode == 0, done.stderr
    answers = json.loads(file.with_suffix(".answers.json").read_text())
    for number, (name, job) in enumerate(jobs.items()):
        one = devices_jobs.train(job | {"folder": str(tmp_path / f"one-{number}")}, lambda _: None)
        assert answers[number]["loss"] == pytest.approx(one["loss"], rel=1e-4), name


@pytest.mark.slow
def test_a_run_fails_on_one_device_and_goes_on_to_its_end(tmp_path: Path) -> None:
    model, table = small_run.prepare(tmp_path)
    out = tmp_path / "run"
    settings = ["--text", "note", "--label", "kind", "--methods", "bias", "--epochs", "0.5",
                "--batch", "4", "--configurations", "1", "--seeds", "3", "--window", "24",
                "--budget", "trainable=20%"]  # fmt: skip
    adapt = ["adapt", str(model), str(table), "--out", str(out), *settings]
    failed = launch("devices_jobs.py", "fail", *adapt)
    assert failed.returncode == 1  # torchrun's own; it tells of ours
    assert "exitcode  : 2 (pid:" in failed.stderr
    ours = [line for line in failed.stderr.splitlines() if line.startswith("parsimony:")]
    assert ours == ["parsimony: made up, row 5: must be good"]
    with pytest.raises(InputError) as caught:
        workflow.resume(out, Console(quiet=True))
    assert str(caught.value) == (
        "a run goes on with as many processes as it began with, but got 1. "
        f"Continue it with: torchrun --nproc-per-node 2 -m parsimony adapt --resume {out}"
    )
    done = launch("-m", "parsimony", "adapt", "--resume", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report:") == 1
    run = Run.open(out, complete=True)
    assert run.settings["processes"] == 2
    assert Plan.read(out).setup.processes == 2
    assert run.read("result.json")["recommendation"]["method"] == "bias"
