"""``parsimony plan cluster``: the tables, the JSON, the file and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from parsimony.cli import main
from parsimony.testing import tiny


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "cluster", *arguments])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


RECIPE = "tensor=4,pipeline=16,zero=1,micro_batch=1,recompute=full,chunks=1"


def test_the_papers_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "PLAN.yaml"
    code, out, err = call(
        capsys, "gpt-175b", "frontier", "--devices", "64", "--batch", "640", "--states", "frontier",
        "--fix", RECIPE, "--out", str(file),
    )  # fmt: skip
    assert (code, err) == (0, f"The fastest layout is written to {file}\n")
    assert out.startswith(
        "175B parameters on 64 devices of frontier (GCD, half of an AMD MI250X; 64 GB = 59.6 GiB "
        "each)\n1 of 1 layouts fit; the fastest:\n"
    )
    assert "heaviest stage is the first: weights 5.403 GiB, gradients 10.81 GiB" in out
    assert "Its time: compute " in out and ", bubble 2." in out
    plan = yaml.safe_load(file.read_text())
    assert plan["layout"] == {
        "tensor": 4, "pipeline": 16, "data": 1, "zero": 1, "micro_batch": 1, "recompute": "full",
        "chunks": 1,
    }  # fmt: skip
    assert plan["training"]["batch"] == 640 and plan["cluster"]["per_node"] == 8
    assert plan["predicted"]["hardware_share"] == pytest.approx(0.3535, abs=1e-4)


def test_json_and_near_misses(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["gpt-22b", "dgx-h100", "--devices", "8", "--batch", "64", "--top", "2"]
    code, out, err = call(capsys, *arguments, "--json", "--quiet", "--importance")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["model"]["parameters"] == 22_074_273_792
    assert found["fit"] < found["tried"] and len(found["layouts"]) == 2
    assert sum(found["importance"].values()) == pytest.approx(1)
    (missed, *_) = found["near_misses"]
    assert missed["reason"].startswith("a device of the first stage needs ")
    assert missed["seconds"] < found["layouts"][0]["seconds"]
    code, out, _ = call(capsys, *arguments)
    assert code == 0 and "\nFaster, had a device more memory:\n" in out and missed["reason"] in out


def test_a_model_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny.config("llama").save_pretrained(tmp_path)
    code, out, _ = call(capsys, str(tmp_path), "laptop", "--batch", "8", "--sequence", "32")
    assert code == 0 and "on 1 device of laptop (GPU of an Apple M1" in out


def test_nothing_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "gpt-22b", "h200", "--batch", "64")
    assert (code, out) == (3, "")
    assert err.startswith("parsimony: nothing fits 1 device of h200 (NVIDIA H200 SXM; 141 GB = ")
    assert err.endswith('The nearest budget that can be met: "4 devices of h200"\n')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gpt-22b", "frontier", "--devices", "0"], "frontier has 78,848 devices, but got 0"),
        (["gpt-22b", "h200", "--top", "0"], "--top must be positive, but got 0"),
        (["gpt-22b", "h200", "--batch", "0"], "the batch must be positive, but got 0"),
    ],
)
def test_a_wrong_option_gets_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert call(capsys, *arguments) == (2, "", f"parsimony: {message}\n")
