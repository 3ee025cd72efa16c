"""A digest that is killed and run again: nobody gets it twice, and everybody gets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from live_parts import Sink

SCRIPT = Path(__file__).with_name("kill_digest.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def test_killed_at_each_step_and_run_again(sink: Sink, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, sink.place, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert len(steps) > 40  # two letters, each with about twenty
    in_doubt = set()
    for step, entry in enumerate(steps):
        then = entry["then"]
        got = [sink.receivers.count(f"{name}{step}@example.org") for name in "ab"]
        assert max(got) == 1, (entry, got)
        if then["issue"] is None:  # it was done when it was killed
            assert got == [1, 1] and entry["where"] == "after commit", entry
        elif then["handed"]:
            assert then["handed"] == 1 and sum(got) >= 1
            in_doubt.add((entry["where"], sum(got)))
        else:
            assert got == [1, 1] and then["sent"] == 2, entry
    # What nobody can know: the server has the whole message, or all but the closing dot.
    assert in_doubt == {
        ("after commit", 1), ("before dot", 1), ("after dot", 2), ("after reply", 2),
        ("before commit", 2),
    }  # fmt: skip
