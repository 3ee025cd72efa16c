"""``parsimony adapt methods``: the table, the reasons and the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parsimony.adapt.catalogue.traits import TRAITS
from parsimony.cli import main
from parsimony.testing import tiny


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["adapt", "methods", *arguments])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def test_the_table_and_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tiny.write(tmp_path / "model"))
    capsys.readouterr()
    arguments = [model, "--fits", "trainable=60%,mergeable", "--window", "16"]
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "Trying the methods on this model\n")
    lines = out.splitlines()
    assert lines[0].endswith("parameters; the trainable ones include the task head's 66")
    assert any(line.startswith("LoRA ") and "lora r=8" in line for line in lines)
    assert "Rejected full: trains 100% of the parameters, more than trainable=60%" in lines
    assert any(line.startswith("Rejected Prompt tuning: not mergeable: ") for line in lines)
    code, out, err = call(capsys, *arguments, "--json", "--quiet")
    assert (code, err) == (0, "")
    found = {row["name"]: row for row in json.loads(out)["methods"]}
    assert found["LoRA"]["fits"] and found["LoRA"]["traits"]["mergeable"]["value"] is True
    assert found["LoRA"]["classes"]["peft-review"] == "reparameterized/low rank"
    assert not found["UniPELT"]["available"]
    assert found["UniPELT"]["footprint"]["trainable"]["value"] is None


def test_the_help_names_every_trait(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    words = " ".join(out.split()).partition("traits: ")[2].partition(". ")[0]
    assert set(words.rstrip(".").split(", ")) == set(TRAITS)


def test_a_wrong_task_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--task", "sums")
    assert (code, out) == (2, "")
    assert err.startswith("parsimony: unknown task 'sums'. ")
