"""The meter reads this process."""

from __future__ import annotations

import subprocess
import sys
import time

from parsimony.core import meter as meters
from parsimony.core.meter import Meter, peak_memory


def test_wall_time_is_the_clocks_difference(monkeypatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with Meter() as meter:
        assert meter.seconds.note == "not measured yet"
    assert meter.seconds.value == 2.5
    assert meter.seconds.provenance == "measured"


def test_the_peak_covers_what_was_touched_and_let_go() -> None:
    code = (
        "from parsimony.core.meter import Meter, peak_memory\n"
        "before = peak_memory().value\n"
        "with Meter() as meter:\n"
        "    block = bytearray(b'1') * (200 * 2**20)\n"
        "    del block\n"
        "print(meter.peak_memory.value - before, meter.peak_memory.note)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rise, _, note = done.stdout.strip().partition(" ")
    assert 199 * 2**20 <= float(rise) <= 230 * 2**20
    assert note == "peak resident set"


def test_the_peak_never_falls() -> None:
    first, second = peak_memory().value, peak_memory().value
    assert first is not None and second is not None and second >= first


def test_without_proc_the_system_call_answers_in_bytes(monkeypatch, tmp_path) -> None:
    read = peak_memory().value
    monkeypatch.setattr(meters, "Path", lambda _: tmp_path / "none")
    asked = peak_memory().value
    assert read is not None and asked is not None
    assert 0.5 < asked / read < 2


def test_energy_is_known_or_has_its_reason() -> None:
    with Meter() as meter:
        pass
    assert meter.energy.known or meter.energy.note


def test_an_error_inside_is_not_swallowed() -> None:
    try:
        with Meter() as meter:
            raise KeyError("work failed")
    except KeyError:
        assert meter.seconds.known
    else:
        raise AssertionError("the error was swallowed")
