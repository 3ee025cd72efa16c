"""``parsimony plan finetune``: one training's cost, with provenance and intervals, or one line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_runs
import pytest

from parsimony.adapt import solve
from parsimony.cli import main
from parsimony.core import artifacts, ledger
from parsimony.core.footprint import Figure, Footprint
from parsimony.testing import tiny

Call = Callable[..., tuple[int, str, str]]
FAST = ("t.csv", "--method", "lora", "--window", "16", "--device", "cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``full`` with weights, ``bare`` without, and a table."""
    folder = tmp_path_factory.mktemp("finetune")
    tiny.write(folder / "full")
    tiny.write(folder / "bare")
    (folder / "bare" / "model.safetensors").unlink()
    lines = [f'"{text}",{made_runs.KINDS[i % 3]}' for i, text in enumerate(made_runs.texts(60))]
    (folder / "t.csv").write_text("\n".join(["note,kind", *lines]))
    return folder


@pytest.fixture
def call(models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run it beside the models; timed steps are made up."""
    monkeypatch.chdir(models)
    monkeypatch.setattr(solve, "calibrate", lambda *_: made_runs.SPEED)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["plan", "finetune", *map(str, arguments)])
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return run


def figures(call: Call, *arguments: object) -> dict[str, Any]:
    code, out, err = call(*arguments, "--json", "--quiet")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_config_alone_is_enough_but_for_the_time(call: Call) -> None:
    found = figures(call, "bare", *FAST, "--rank", "2")
    costs = found["footprint"]
    assert (found["candidate"], found["size"]) == ("lora r=2", 2)
    assert costs["peak_memory"]["provenance"] == "computed"
    assert costs["seconds"]["value"] is None
    assert costs["seconds"]["note"] == "a model without weights runs no step that could be timed"
    assert costs["seconds"]["basis"] == costs["seconds"]["note"]
    full = figures(call, "full", *FAST, "--size", "2")["footprint"]
    for exact in ("parameters", "trainable", "stored_bytes", "flops"):
        assert full[exact]["value"] == costs[exact]["value"], exact
    assert full["peak_memory"]["value"] == pytest.approx(
        costs["peak_memory"]["value"] + made_runs.SPEED.overhead
    )


def test_the_time_is_that_of_the_steps_and_scores(call: Call) -> None:
    found = figures(call, "full", *FAST, "--rank", "2", "--epochs", "2", "--batch", "4")
    rows, costs, speed = found["rows"], found["footprint"], made_runs.SPEED
    assert found["steps"] == math.ceil(rows["train"] / 4 * 2)
    scored = 3 * rows["validation"] + rows["test"]
    assert costs["seconds"]["value"] == pytest.approx(
        speed.startup + found["steps"] * costs["flops"]["value"] * speed.per_flop
        + scored * speed.row
    )  # fmt: skip


def test_the_largest_size_that_fits_is_taken(call: Call) -> None:
    whole = figures(call, "bare", *FAST)
    part = figures(call, "bare", *FAST, "--budget", "trainable=10%")
    assert part["size"] < whole["size"]
    assert part["footprint"]["trainable"]["value"] <= 0.1 * part["base_parameters"]


def test_past_errors_give_the_interval(call: Call, tmp_path: Path) -> None:
    for run in ("a", "b"):  # ten of each: measured is 1.0, 1.1, ... 1.9 times the prediction
        ledger.write(
            tmp_path / run,
            [
                entry
                for k in range(10)
                for entry in ledger.compare(
                    "lora r=2", Footprint(peak_memory=Figure(10.0, "estimated")),
                    Footprint(peak_memory=Figure(10.0 + k, "measured")), verb="adapt",
                    method="lora",
                )
            ],
        )  # fmt: skip
    memory = figures(call, "full", *FAST, "--rank", "2", "--ledger", tmp_path)["footprint"][
        "peak_memory"
    ]
    assert memory["low"] == pytest.approx(memory["value"] * 1.0)  # the second smallest of twenty
    assert memory["high"] == pytest.approx(memory["value"] * 1.9)
    assert memory["basis"] == "20 graded predictions of lora"
    assert memory["coverage"] == 1.0
    code, out, _ = call("full", *FAST, "--rank", "2", "--ledger", tmp_path)
    rows = [re.split(r"  +", line.strip()) for line in out.splitlines()]
    assert code == 0 and ["quantity", "predicted", "low", "high", "held", "how",
                          "interval by, or why none"] in rows  # fmt: skip
    (row,) = (row for row in rows if row[0] == "peak_memory")
    assert row[4:] == ["100.0 %", "estimated", "20 graded predictions of lora"]
    (row,) = (row for row in rows if row[0] == "energy")
    assert row[1:4] == ["unknown", "-", "-"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--rank", "7"), 2, "lora takes r of 1, 2, "),
        (("--method", "bias", "--rank", "2"), 2,
         "the method bias has no size, but got 2. Leave out --size"),
        (("--method", "nosuch"), 2, "unknown method, but got 'nosuch'"),
        (("--budget", "time=1s"), 2,
         "the time of a model without weights cannot be told, but got 'time=1s'"),
        (("--budget", "trainable=0.001%"), 3, "no method fits the budget"),
        (("--ledger", "nowhere"), 2, "no ledger found below this folder, but got 'nowhere'"),
    ],
)  # fmt: skip
def test_faults_get_one_line(call: Call, arguments: tuple[str, ...], code: int, text: str) -> None:
    found, out, err = call("bare", *FAST, *arguments, "--quiet")
    assert (found, out) == (code, "")
    assert err.startswith(f"parsimony: {text}") and len(err.splitlines()) == 1


def test_a_training_too_long_names_the_nearest_budget(call: Call) -> None:
    code, out, err = call("full", *FAST, "--rank", "2", "--budget", "time=0.001s", "--quiet")
    assert (code, out) == (3, "")
    found = re.fullmatch(
        r"parsimony: lora r=2 is predicted to train for .+, but got 'time=0\.001s'\. "
        r'The nearest budget that can be met: "(time=.+)"\n', err,
    )  # fmt: skip
    assert found is not None, err
    code, _, _ = call("full", *FAST, "--rank", "2", "--budget", found[1], "--quiet")
    assert code == 0


def test_runs_is_where_past_errors_are_looked_for(
    call: Call, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    artifacts.write_text(tmp_path / "runs" / "a" / ledger.FILE, "{")
    code, _, err = call(models / "bare", models / FAST[0], *FAST[1:], "--quiet")
    assert code == 2 and "must be JSON" in err


def test_the_report_shows_memory_by_part(call: Call) -> None:
    words = ("full", *FAST, "--rank", "2", "--report", "page.html")
    found = figures(call, *words[:-2])
    code, _, err = call(*words)
    assert code == 0 and "The report is written to page.html" in err
    page = Path("page.html").read_text(encoding="utf-8")
    assert sum(found["memory"].values()) == found["footprint"]["peak_memory"]["value"]
    for part in ("weights", "optimizer state", "gradients and activations"):
        assert found["memory"][part] > 0 and part in page
    assert "full on t.csv" in page and "lora r=2 takes" in page
