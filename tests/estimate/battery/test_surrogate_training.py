"""Trainings that learn, go on after a kill to the same bytes, and refuse."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parsimony.core import headlines
from parsimony.core.console import Console
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.pages import Page
from parsimony.estimate.battery import network, simulated, training, workflow
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.hierarchy import Step, climb
from parsimony.estimate.battery.surrogate import Surrogate
from parsimony.estimate.battery.training import Plan, train

POINT = Box().shrunk(0)
TINY = Plan(adam=2, lbfgs=12, batches=2, interior=8, boundary=4)


def level(kind: str = "merged", seed: int = 0) -> Surrogate:
    return Surrogate(Cell(), POINT, kind, network.initial(kind, seed))


@pytest.mark.parametrize("kind", network.NETWORKS)
def test_both_optimizers_lower_the_loss(kind: str) -> None:
    found = train(level(kind), TINY)
    assert found.losses[1] < found.losses[0]
    assert found.losses[2] < found.losses[1] / 2
    assert found.iterations == 12
    weights = found.surrogate.weights
    assert all((weights[name] == 0).all() for name in network.FIXED)
    assert isinstance(weights["V.out.bias"], np.ndarray)


def test_data_alone_teach_the_voltage() -> None:
    data = simulated.data(Cell(), POINT, HORIZON, 1)
    plan = dataclasses.replace(TINY, lbfgs=30)
    found = train(level(), plan, data=data).surrogate
    assert simulated.errors(found).mean < simulated.errors(level().torched()).mean / 4


def test_the_rate_is_constant_and_then_falls_exponentially() -> None:
    plan = Plan(adam=101)
    rates = [plan.rate_at(epoch) for epoch in range(101)]
    assert set(rates[:51]) == {1e-3}
    assert rates[-1] == pytest.approx(1e-4)
    assert np.diff(np.log(rates[50:])) == pytest.approx(np.log(0.1) / 50)


@pytest.mark.parametrize(
    ("steps", "mark"),
    [
        ([Step(Cell("simple"), 0.0, plan=TINY), Step(share=0.0, plan=TINY)], (0.0, HORIZON)),
        ([Step(share=0.0, plan=TINY), Step(share=0.5, plan=TINY)], (0.0, HORIZON)),
        ([Step(share=0.0, horizon=400.0, plan=TINY), Step(share=0.0, plan=TINY)], (400.0, HORIZON)),
    ],
    ids=["simple physics", "one point", "time"],
)
def test_levels_chain_and_the_next_starts_from_the_lower(
    steps: list[Step], mark: tuple[float, float]
) -> None:
    found = climb(steps)
    low, high = (one.surrogate for one in found)
    assert len(high.levels) == 2
    assert (high.start, high.horizon) == mark
    assert high.low is not None
    assert (high.low.weights["V.first.kernel"] == low.weights["V.first.kernel"]).all()
    assert found[1].losses[-1] < found[1].losses[0]


def test_a_killed_build_goes_on_in_both_phases_to_the_same_bytes(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_surrogate.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    kills = {place: code for place, code in found["ends"].items() if code == -9}
    assert len(kills) == 5, found
    assert found["ends"]["undisturbed"] == found["ends"]["last"] == 0
    assert all(found["same"].values()), found
    folder = tmp_path / "killed"
    assert not (folder / "checkpoints").exists()
    result = json.loads((folder / "result.json").read_text())
    assert workflow.resume(folder, Console(quiet=True)) == result
    told = headlines.read(folder)
    assert told is not None and told.numbers[1].value == result["greatest_error_mV"]
    page = Page.model_validate_json((folder / "page.json").read_text())
    adam, lbfgs = page.sections[1].figures[-1].series
    level = result["levels"][-1]
    assert (adam.x[-1], lbfgs.x[-1]) == (
        level["adam_epochs"], level["adam_epochs"] + level["lbfgs_iterations"]
    )  # fmt: skip
    assert adam.y + lbfgs.y == level["losses"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(level(), TINY, folder=tmp_path)
    again = train(level(), TINY, folder=tmp_path)
    assert again.iterations == 12  # nothing was left to do
    with pytest.raises(ArtifactError) as error:
        train(level(), dataclasses.replace(TINY, seed=1), folder=tmp_path)
    assert str(error.value) == (
        "a checkpoint must be of the same training: cell, box, plan, losses and data, but got "
        f"'{tmp_path / training.CHECKPOINT}'. Give the same settings, or another folder"
    )
    (tmp_path / training.CHECKPOINT).write_bytes(b"no")
    with pytest.raises(ArtifactError, match="a checkpoint must be safetensors"):
        train(level(), TINY, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "merge"}, "unknown network, but got 'merge'. Did you mean 'merged'?"),
        ({"hierarchy": "box"}, "unknown hierarchy, but got 'box'. Known: none, reference,"),
        ({"losses": "papers"}, "unknown losses, but got 'papers'. Did you mean 'paper'?"),
        ({"curves": 8}, "the number of curves must be a square: 1, 4, 9, 16, but got 8"),
        ({"adam": -1}, "adam must be 0 or more, but got -1"),
        ({"interior": 0}, "interior must be 1 or more, but got 0"),
        ({"share": 1.5}, "the share of the box must be between 0 and 1, but got 1.5"),
        ({"current": 0.0}, "the current must be finite and not zero, in A, but got 0.0"),
    ],
)
def test_a_request_refuses_before_it_makes_a_folder(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    request = workflow.Request(**change)  # type: ignore[arg-type]
    with pytest.raises(InputError) as error:
        workflow.build(request, tmp_path / "run", Console(quiet=True))
    assert str(error.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_rates_and_steps_out_of_range() -> None:
    with pytest.raises(InputError, match="rates need 0 < last_rate <= rate"):
        Plan(rate=1e-5)
    with pytest.raises(InputError, match="a hierarchy needs at least one level"):
        climb([])


def test_a_run_of_another_kind_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"settings": {"model": {"value": "x"}}}')
    with pytest.raises(ArtifactError, match="no run of 'estimate battery train'"):
        workflow.resume(tmp_path, Console(quiet=True))
    assert workflow.resume_command(Path("a b")) == (
        "parsimony estimate battery train --resume 'a b'"
    )
