"""``parsimony plan ledger``: every prediction beside its outcome, over all runs of a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.core import ledger
from parsimony.core.footprint import Figure, Footprint


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "ledger", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs: memory 25 % over and 50 % under, seconds exact, energy unknown once."""
    for run, memory, measured in (("a", 2.5e6, 2e6), ("b", 1e6, 2e6)):
        predicted = Footprint(
            peak_memory=Figure(memory, "estimated"), seconds=Figure(90.0, "estimated"),
            energy=Figure.unknown("no energy model"),
        )  # fmt: skip
        seen = Footprint(
            peak_memory=Figure(measured, "measured"), seconds=Figure(90.0, "measured"),
            energy=Figure(3.0, "measured"),
        )  # fmt: skip
        ledger.write(
            tmp_path / run,
            ledger.compare("lora r=8", predicted, seen, verb="adapt", method="lora"),
        )
    return tmp_path


def test_the_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, folder)
    assert (code, err) == (0, "")
    rows = [re.split(r"  +", line.strip()) for line in out.splitlines()]
    assert ["a", "lora r=8", "peak_memory", "2.384 MiB", "1.907 MiB", "+25.0 %"] in rows
    assert ["b", "lora r=8", "peak_memory", "976.6 KiB", "1.907 MiB", "-50.0 %"] in rows
    assert ["b", "lora r=8", "seconds", "1 min 30 s", "1 min 30 s", "+0.0 %"] in rows
    assert ["a", "lora r=8", "energy", "unknown", "3", "-"] in rows
    assert ["peak_memory", "2", "0", "37.5 %", "-50.0 %", "+25.0 %", "0", "-"] in rows
    assert ["seconds", "2", "0", "0.0 %", "-", "-", "0", "-"] in rows
    assert ["energy", "0", "2", "-", "-", "-", "0", "-"] in rows
    assert [
        "peak_memory", "adapt", "lora", "2", "0", "37.5 %", "-50.0 %", "+25.0 %", "0", "-"
    ] in rows  # fmt: skip
    assert "Predicted and measured" in out
    quiet = call(capsys, folder, "--quiet")[1]
    assert "Predicted and measured" not in quiet
    assert quiet.splitlines()[0].strip() == "Errors: (predicted - measured) / measured"


def test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, folder, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    entries = ledger.read(folder)
    assert (
        [e["run"] for e in found["entries"]] == [run for run, _ in entries] == ["a"] * 3 + ["b"] * 3
    )
    assert found["entries"][0] == {
        "run": "a", "subject": "lora r=8", "quantity": "peak_memory", "unit": "bytes",
        "predicted": 2.5e6, "measured": 2e6, "error": 0.25, "reason": "",
        "verb": "adapt", "method": "lora", "provenance": "estimated",
    }  # fmt: skip
    assert found["quantities"] == ledger.summary(entries)
    assert found["methods"] == ledger.summary(entries, per_method=True)
    assert found["machines"] == []
    kept = folder / "kept.json"
    kept.write_text(out)
    assert call(capsys, kept, "--json")[1] == out


def test_one_run_is_named_by_its_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(call(capsys, folder / "b", "--json")[1])
    assert {entry["run"] for entry in found["entries"]} == {"b"}


def test_faults_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, tmp_path) == (
        2, "",
        f"parsimony: no ledger found below this folder, but got '{tmp_path}'. Finish a run "
        "first\n",
    )  # fmt: skip
    (tmp_path / "ledger.json").write_text("{")
    code, out, err = call(capsys, tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"parsimony: the file {tmp_path / 'ledger.json'} must be JSON (")
    assert len(err.splitlines()) == 1
    (tmp_path / "ledger.json").write_text('[{"subject": "a"}]')
    assert call(capsys, tmp_path)[2].startswith(
        f"parsimony: {tmp_path / 'ledger.json'} must hold a list of entries ("
    )
