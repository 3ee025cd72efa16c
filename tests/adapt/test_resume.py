"""Killed at any moment, resumed, the run ends in the bytes of one never killed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest
import small_run
from conftest import Finished

from parsimony.core import ledger


def _sealed(out: Path) -> int:
    """Checkpoints and rungs written so far, deleted ones counted through their successors."""
    newest = {}
    for manifest in out.glob("trials/*/checkpoints/checkpoint-*/manifest.json"):
        trial, step = manifest.parts[-4], int(manifest.parent.name.rpartition("-")[2])
        newest[trial] = max(step, newest.get(trial, 0))
    return sum(newest.values()) + len(list(out.glob("trials/*/rung-*.json")))


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        env=small_run.environment(),
    )  # fmt: skip


@pytest.mark.slow
def test_killed_again_and_again(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "run"
    random = np.random.default_rng(7)
    arguments = small_run.command(finished.model, finished.table, out, "--workers", "2")
    kills = 0
    for _ in range(4):
        process = _start(arguments)
        target = _sealed(out) + int(random.integers(1, 60))
        if small_run.wait_for(process, lambda target=target: _sealed(out) >= target):
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        arguments = small_run.resume_command(out)
    small_run.call(arguments)
    assert kills >= 3
    assert small_run.decided(out) == small_run.decided(finished.folder)
    (whole,) = (e for _, e in ledger.read(out) if e.subject == "whole run")
    assert whole.measured is None and "stopped and resumed" in whole.reason


@pytest.mark.slow
def test_killed_before_the_plan(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = _start(small_run.command(finished.model, finished.table, out, "--workers", "2"))
    assert small_run.wait_for(process, lambda: (out / "config.json").is_file())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "plan.json").is_file()
    small_run.call(small_run.resume_command(out))
    assert small_run.decided(out) == small_run.decided(finished.folder)


@pytest.mark.slow
def test_one_worker_decides_the_same_even_when_it_is_killed(
    finished: Finished, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = _start(small_run.command(finished.model, finished.table, out, "--workers", "1"))
    assert small_run.wait_for(process, lambda: _sealed(out) >= 5)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if str(out) in " ".join(f.path for f in child.open_files())
    ]
    assert workers
    workers[0].kill()
    assert process.wait() == 0
    assert small_run.decided(out, but="config.json") == small_run.decided(
        finished.folder, but="config.json"
    )


def test_a_complete_run_is_only_read(finished: Finished) -> None:
    before = small_run.decided(finished.folder)
    done = small_run.call(small_run.resume_command(finished.folder))
    assert "is complete; nothing to do" in done.stderr
    assert small_run.decided(finished.folder) == before
