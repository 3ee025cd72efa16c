"""A small real run for the tests of adapt: a tiny model, made-up texts, three methods."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import warm

from parsimony.core import artifacts
from parsimony.testing import tiny

SETTINGS = ["--methods", "lora,bias,linear-probe", "--epochs", "1.5", "--batch", "4",
            "--configurations", "2", "--finalists", "2", "--seeds", "3", "--window", "24",
            "--budget", "trainable=20%"]  # fmt: skip

# What a run decides, as opposed to what it measured on the way.
DECIDED = ("config.json", "plan.json", "result.json", "leaderboard.csv", "adapter/*",
           "data/*", "trials/*/events.jsonl", "trials/*/scores/*",
           "trials/*/rung-*.json")  # fmt: skip


def write_table(file: Path, rows: int = 120) -> Path:
    """Two matter, one does not: ``note`` (text), ``kind`` (label), ``ticket`` (a number)."""
    words = {
        "bug": ["crash", "fails", "broken", "error", "wrong"],
        "wish": ["please", "add", "support", "would", "like"],
        "thanks": ["great", "thanks", "works", "love", "nice"],
    }
    random = np.random.default_rng(0)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ticket", "note", "kind"])
        for number in range(rows):
            kind = sorted(words)[number % 3]
            text = " ".join([*random.choice(words[kind], 3), str(number)])
            writer.writerow([1000 + number, text, kind])
    return file


def prepare(folder: Path) -> tuple[Path, Path]:
    """(model folder, table) below ``folder``."""
    return tiny.write(folder / "model"), write_table(folder / "tickets.csv")


def command(model: Path, table: Path, out: Path, *extra: str) -> list[str]:
    """The command line of the run."""
    return [sys.executable, "-m", "parsimony", "adapt", str(model), str(table), "--out", str(out),
            "--text", "note", "--label", "kind", *SETTINGS, *extra]  # fmt: skip


def resume_command(out: Path) -> list[str]:
    """The command line that goes on with it."""
    return [sys.executable, "-m", "parsimony", "adapt", "--resume", str(out)]


def environment() -> dict[str, str]:
    """Of a subprocess: offline, one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def call(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run to the end and insist on success."""
    python, *words = arguments
    assert [python, *words[:2]] == [sys.executable, "-m", "parsimony"], arguments
    done = warm.run(words[2:], environment=environment())
    assert done.returncode == 0, done.stderr
    return done


def wait_for(process: subprocess.Popen[str], happened: Callable[[], bool]) -> bool:
    """Watch until it happened or the process ended; true when it happened."""
    while True:
        if happened():
            return True
        try:
            process.wait(timeout=0.05)  # leaves the processor to the run
        except subprocess.TimeoutExpired:
            continue
        return False


def decided(run: Path, but: str = "") -> dict[str, str]:
    """sha256 by name of every file that a resumed run must reproduce."""
    files = sorted(file for pattern in DECIDED for file in run.glob(pattern) if file.is_file())
    names = {file.relative_to(run).as_posix(): artifacts.sha256(file) for file in files}
    names.pop(but, None)
    return names
