"""Runs of plans in their folders: killed, continued, continued in another layout, graded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import distributed

from parsimony.core import artifacts, ledger
from parsimony.core.console import Console
from parsimony.core.errors import ArtifactError, InputError, ParsimonyError
from parsimony.core.events import read_events
from parsimony.core.run import Run
from parsimony.plan.cluster import hardware, layouts
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.plan_file import Layout, Plan
from parsimony.plan.cluster.training import Training
from parsimony.plan.running import equivalence, launch, tokens, worker, workflow
from parsimony.plan.running.layout import build

SHAPE = ModelShape(4, 32, 4, vocabulary=256, positions=16, tied=False)
CLUSTER = hardware.load("laptop").of(2).model_copy(update={"per_node": 2})
PIPELINE = Plan(SHAPE, CLUSTER, Training(8, 16), Layout(1, 2, 1, 0, 2, "none", 1))
ZERO = replace(PIPELINE, layout=Layout(1, 1, 2, 3, 2, "none", 1))
TENSOR = replace(PIPELINE, layout=Layout(2, 1, 1, 0, 2, "none", 1))
SETTINGS = workflow.Settings(steps=6, checkpoint_every=3, backend="gloo", timeout=60, seed=3)
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[int]]:
    """A run of the pipeline whose second process was killed in step 4; what was said, and which
    of its processes still lived then."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
        patch.setattr(launch, "WORKER", "killed_run")
        with pytest.raises(ParsimonyError) as caught:
            workflow.start(PIPELINE, SETTINGS, folder, {"steps"}, QUIET)
    started = [json.loads(file.read_text()) for file in (folder / "processes").iterdir()]
    assert len(started) == 2
    return folder, str(caught.value), [number for number in started if psutil.pid_exists(number)]


@pytest.fixture(scope="module")
def alone(killed: tuple[Path, str, list[int]]) -> list[float]:
    """The losses of one process on the same tokens."""
    folder, losses = killed[0], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with equivalence.world(distributed.HashStore(), 0, 1):
        plan = replace(PIPELINE, layout=Layout(1, 1, 1, 0, 2, "none", 1))
        part = build(plan, torch.device("cpu"), "1f1b", seed=SETTINGS.seed)
        optimizer = worker.optimizer_for(part, "adamw", SETTINGS.learning_rate)
        for step in range(1, SETTINGS.steps + 1):
            losses.append(float(part.step(tokens.batch(folder, plan, SETTINGS.seed, step))))
            optimizer.step()
            optimizer.zero_grad()
    torch.set_num_threads(threads)
    return losses


@pytest.fixture(scope="module")
def elsewhere(killed: tuple[Path, str, list[int]]) -> dict[str, Path]:
    """Copies of the killed run."""
    folder = killed[0]
    return {
        name: Path(shutil.copytree(folder, folder.with_name(name))) for name in ("zero", "tensor")
    }


@pytest.fixture(scope="module")
def resumed(killed: tuple[Path, str, list[int]], elsewhere: dict[str, Path]) -> Path:
    """The killed run, continued to its end."""
    workflow.resume(killed[0], None, QUIET)
    return killed[0]


def losses_of(folder: Path) -> list[float]:
    return [event["loss"] for event in read_events(folder / "events.jsonl") if "loss" in event]


def test_a_killed_process_ends_all_with_one_message(killed: tuple[Path, str, list[int]]) -> None:
    folder, said, alive = killed
    assert said == (
        "process 1 of 2 was ended by SIGKILL. All 2 have ended after step 3. "
        f"Continue with: parsimony plan run --resume {folder}"
    )
    assert alive == []


def test_it_goes_on_to_the_bits_of_one_never_stopped(resumed: Path, alone: list[float]) -> None:
    assert losses_of(resumed) == alone
    assert Run(resumed).complete


@pytest.mark.parametrize(("name", "plan"), [("zero", ZERO), ("tensor", TENSOR)])
def test_it_goes_on_in_another_layout(
    elsewhere: dict[str, Path], alone: list[float], name: str, plan: Plan
) -> None:
    folder = elsewhere[name]
    found = workflow.resume(folder, plan, QUIET)
    assert losses_of(folder) == pytest.approx(alone, abs=1e-6)
    assert found["layout"] == str(plan.layout)
    events = read_events(folder / "events.jsonl")
    assert [(e["step"], e["layout"]) for e in events if "layout" in e] == [
        (0, str(PIPELINE.layout)),
        (3, str(plan.layout)),
    ]


def test_a_run_is_graded(resumed: Path) -> None:
    artifacts.verify(resumed)
    graded = {entry.quantity: entry for _, entry in ledger.read(resumed)}
    assert set(graded) == {"parameters", "peak_memory", "seconds"}
    assert graded["parameters"].error == 0
    assert graded["seconds"].measured == Run(resumed).read("measurement.json")["seconds"]["value"]


def test_the_planner_takes_the_measured_cluster(resumed: Path) -> None:
    cluster = hardware.load(str(resumed / "cluster.yaml"))
    measured: dict[str, Any] = Run(resumed).read("measured.json")
    assert cluster.efficiency * cluster.peak_tflops * 1e12 == pytest.approx(
        measured["compute"]["operations"] / measured["compute"]["seconds"]
    )
    (link,) = measured["links"]
    assert cluster.bandwidth(2) == pytest.approx(link["bandwidth"])
    assert cluster.sources["efficiency"].startswith("measured by parsimony plan run")
    assert cluster.sources["reserve"] == CLUSTER.sources["reserve"]
    planned = layouts.plan(SHAPE, cluster, PIPELINE.training)
    assert (planned["reason"] == "").any()
    told = Run(resumed).read("measurement.json")["seconds_with_measured_figures"]
    again = workflow.costs(replace(PIPELINE, cluster=cluster), "fp32")
    assert again["seconds"] == pytest.approx(told)


def test_a_complete_run_stays_as_it_is(resumed: Path) -> None:
    before = artifacts.hash_folder(resumed)
    assert workflow.resume(resumed, None, QUIET) == Run(resumed).read("measurement.json")
    assert artifacts.hash_folder(resumed) == before
    with pytest.raises(InputError) as caught:
        workflow.resume(resumed, ZERO, QUIET)
    assert str(caught.value) == (
        f"a complete run has no steps left for another layout, but got '{resumed}'. "
        "Start a new run with this plan"
    )


def test_a_changed_checkpoint_is_refused(resumed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(resumed / "checkpoints", tmp_path / "checkpoints"))
    file = next((folder / "step-3").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ArtifactError, match=r"step-3: the file '.*' differs from its manifest"):
        worker.checkpoint.load(folder, 3, None, None)


def test_checkpoints_hold_no_pickle(resumed: Path) -> None:
    found = {file.suffix for file in (resumed / "checkpoints").rglob("*") if file.is_file()}
    assert found == {".safetensors", ".json"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"shape": replace(SHAPE, layers=8)}, "model"),
        ({"training": Training(16, 16)}, "training"),
    ],
)
def test_only_the_layout_may_change(resumed: Path, change: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError) as caught:
        workflow.resume(resumed, replace(ZERO, **change), QUIET)
    assert str(caught.value) == (
        f"a run goes on with another layout, but not with another {what}. "
        "Take model and training from the plan that it began with"
    )
