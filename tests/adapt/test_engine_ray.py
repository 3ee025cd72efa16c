"""Ray tasks give the same answer as local processes, also when a worker is killed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest
import small_run
from conftest import Finished

pytest.importorskip("ray", reason="the extra [ray] is not installed")


@pytest.mark.slow
def test_two_ray_workers_one_of_them_killed(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = small_run.command(
        finished.model, finished.table, out, "--engine", "ray", "--workers", "2"
    )
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=small_run.environment(),
    )  # fmt: skip
    killed = small_run.wait_for(
        process,
        lambda: (
            any(out.glob("trials/*/checkpoints/checkpoint-*/manifest.json"))
            and _kill_a_busy_worker(process.pid)
        ),
    )
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert killed
    # config.json names the engine.
    assert small_run.decided(out, but="config.json") == small_run.decided(
        finished.folder, but="config.json"
    )


def _kill_a_busy_worker(driver: int) -> bool:
    for child in psutil.Process(driver).children(recursive=True):
        try:
            if child.name().startswith("ray::_run_in_ray") or "ray::_run_in_ray" in " ".join(
                child.cmdline()
            ):
                child.kill()
                return True
        except psutil.NoSuchProcess:
            continue
    return False
