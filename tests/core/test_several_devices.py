"""Two processes on one training take the steps that one process takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shared_training
import tiny
import torch

from parsimony.core import devices, training, workers
from parsimony.core.errors import InputError

HERE = Path(__file__).parent

# Of 33 rows in parts of 8, the last part has one row, which the other process goes without; four
# steps are a pass.
CASES = {
    "classifier": {"task": "text-classification", "settings": {}},
    "uneven parts": {"task": "text-classification", "rows": 37, "settings": {"batch_size": 16}},
    "one row left": {"task": "text-classification", "rows": 33,
                     "settings": {"batch_size": 16, "accumulation": 2}},
    "unequal lengths": {"task": "causal-lm", "rows": 33, "settings": {}},
    "unequal lengths in parts": {"task": "causal-lm", "rows": 35,
                                 "settings": {"batch_size": 16, "accumulation": 4}},
}  # fmt: skip


def launch(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes under torchrun, to the end."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script), *arguments],
        capture_output=True, text=True, check=False, timeout=300, cwd=HERE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def train_in_two(file: Path, jobs: list[dict[str, Any]]) -> tuple[list[list[float]], int]:
    """Losses of every job, and the exit code."""
    file.write_text(json.dumps(jobs))
    done = launch(HERE / "shared_training.py", str(file))
    answers = file.with_suffix(".answers.json")
    assert done.returncode == 0 or not answers.exists()
    found = json.loads(answers.read_text()) if done.returncode == 0 else []
    return [answer["loss"] for answer in found], done.returncode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def losses(folder: Path) -> dict[str, list[float]]:
    """Of all cases in two processes; and of a training whose second process was killed."""
    resumed = {"task": "text-classification", "dropout": True, "settings": {}, "keep": True}
    kill = {**resumed, "folder": str(folder / "killed"), "kill": (1, 7)}
    _, code = train_in_two(folder / "first.json", [kill])
    assert code == 1
    assert training.newest_checkpoint(folder / "killed" / "checkpoints").name == "checkpoint-6"
    jobs = {name: {**case, "folder": str(folder / name)} for name, case in CASES.items()}
    for name in ("killed", "unstopped"):
        jobs[name] = {**resumed, "folder": str(folder / name)}
    found, code = train_in_two(folder / "second.json", list(jobs.values()))
    assert code == 0
    return dict(zip(jobs, found, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_take_the_steps_of_one(
    losses: dict[str, list[float]], tmp_path: Path, name: str
) -> None:
    alone = shared_training.train({**CASES[name], "folder": str(tmp_path)}, lambda _: None)
    assert len(losses[name]) == 12
    assert losses[name] == pytest.approx(alone["loss"], rel=1e-5)


def test_a_killed_training_goes_on_in_both_to_the_same_bytes(
    losses: dict[str, list[float]], folder: Path
) -> None:
    assert losses["killed"] == losses["unstopped"]
    expected, found = tiny.final_bytes(folder / "unstopped"), tiny.final_bytes(folder / "killed")
    assert [name for name in expected if expected[name] != found[name]] == []


def test_accumulation_changes_no_loss(tmp_path: Path) -> None:
    found = []
    for parts in (1, 4):
        job = {"task": "text-classification", "rows": 36, "settings": {"accumulation": parts}}
        found.append(shared_training.train({**job, "folder": str(tmp_path / str(parts))}, print))
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)


def test_the_loss_of_a_text_model_is_the_mean_over_its_tokens(tmp_path: Path) -> None:
    job = {"task": "causal-lm", "rows": 8, "settings": {"steps": 1}, "folder": str(tmp_path)}
    (found,) = shared_training.train(job, print)["loss"]
    with torch.no_grad():
        expected = tiny.gpt2().eval()(**tiny.collator("causal-lm")([*tiny.rows(8)])).loss
    assert found == pytest.approx(float(expected), rel=1e-5)


def two(monkeypatch: pytest.MonkeyPatch, rank: int = 0) -> None:
    """The environment of a process of torchrun."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))


def test_every_process_draws_by_itself_and_the_first_as_if_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = []
    for rank in (0, 1):
        two(monkeypatch, rank)
        torch.manual_seed(5)
        devices.draw_apart(5)
        drawn.append(torch.rand(4))
    torch.manual_seed(5)
    assert torch.equal(drawn[0], torch.rand(4))
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 8])
def test_every_row_belongs_to_one_process(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    batch = {"labels": torch.arange(rows), "name": "kept"}
    slices = []
    for rank in (0, 1):
        two(monkeypatch, rank)
        mine = devices.own(batch)
        assert mine["name"] == "kept"
        slices.append(mine["labels"])
    assert torch.equal(torch.cat(slices), batch["labels"])
    assert abs(len(slices[0]) - len(slices[1])) <= 1


def test_rows_that_do_not_divide_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two(monkeypatch)
    with pytest.raises(InputError) as caught, devices.together():
        training.train(
            tiny.bert(), tiny.rows(), tiny.collator(), tiny.settings(accumulation=8), tmp_path
        )
    assert str(caught.value) == (
        "the rows of a step must divide by 2 processes and 8 parts, but got 8. "
        "Change --batch or --nproc-per-node"
    )


def test_a_training_that_would_wait_for_the_others_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two(monkeypatch)
    with pytest.raises(InputError) as caught:
        training.train(tiny.bert(), tiny.rows(), tiny.collator(), tiny.settings(), tmp_path)
    assert str(caught.value) == (
        "only 'adapt' and 'plan run' train in several processes, but got 'WORLD_SIZE=2'. "
        "Start this one without torchrun"
    )


@pytest.mark.parametrize(
    ("engine", "count", "address"), [("ray", 1, None), ("local", 2, None), ("local", 1, "auto")]
)
def test_no_other_engine_beside_torchrun(
    monkeypatch: pytest.MonkeyPatch, engine: str, count: int, address: str | None
) -> None:
    two(monkeypatch)
    with pytest.raises(InputError) as caught:
        workers.engine(engine, count, address)
    assert str(caught.value) == (
        "the 2 processes of torchrun share one training at a time, but got "
        f"'--engine {engine}, --workers {count}'. "
        "Leave out --engine, --workers and --address, or start without torchrun"
    )


def test_processes_need_a_cuda_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    two(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError) as caught:
        devices.check_cuda()
    assert str(caught.value) == (
        "torchrun may start one process per CUDA device, 1 here, but got 2. "
        "Lower --nproc-per-node, or use --device cpu"
    )
