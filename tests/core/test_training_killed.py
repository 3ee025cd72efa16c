"""A training killed anywhere, several times, ends in the bytes of one never killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from parsimony.core import training

SCRIPT = Path(__file__).with_name("killed_training.py")
EVERYWHERE = "after_step,saving,sealing,renaming,logging,rotating"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    training.train(
        tiny.lora(tiny.bert()), tiny.rows(), tiny.collator(), tiny.settings(), folder,
        evaluate=lambda _, at: 1 / at, evaluate_at=frozenset({3, 8}),
    )  # fmt: skip
    return tiny.final_bytes(folder)


@pytest.mark.parametrize(
    ("seed", "places", "bytes_per_step"),
    [
        (0, EVERYWHERE, 8 * 2**20),  # a checkpoint at every step
        (1, EVERYWHERE, 8 * 2**20),
        (2, "after_step,logging,after_step,logging", 1500),  # one in five steps
    ],
)
def test_kills_leave_no_trace(
    tmp_path: Path, undisturbed: dict[str, bytes], seed: int, places: str, bytes_per_step: int
) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path), str(seed), places, str(bytes_per_step)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    kills = len(places.split(","))
    assert report["ends"] == [-9] * kills + [0], report["plan"]
    found = tiny.final_bytes(tmp_path)
    differing = [name for name in undisturbed if found[name] != undisturbed[name]]
    assert not differing, report["plan"]
