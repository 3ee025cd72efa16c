"""A pass over blocks: killed anywhere it loses one block at most; its memory is known before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compressed import model, windows

from parsimony.compress import memory
from parsimony.compress.passes import Outcome, walk_through
from parsimony.compress.pruning import prune
from parsimony.core.errors import ArtifactError, BudgetError

HERE = Path(__file__).parent


@pytest.mark.parametrize("method", ["sparsegpt"])
def test_a_pass_killed_anywhere_loses_a_block_at_most_and_ends_in_the_same_bytes(tmp_path, method):
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_pass.py"), str(tmp_path), method],
        capture_output=True, text=True, timeout=300, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    ends = report["ends"]
    assert ends.pop("undisturbed") == ends.pop("last") == 0
    assert set(ends.values()) == {-9}
    assert report["same"]
    # Each child begins with the block that the one before it died in, or with the next.
    begun = report["begun"]
    order = [begun[place.replace(" ", "-")] for place in ends] + [begun["last"]]
    assert [blocks[0] for blocks in order] == [0, 0, 1, 1, 1, 2]
    assert order[-1] == [2, 3]


def test_a_journal_of_something_else_is_refused(tmp_path):
    prune(model("llama"), "0.5", "wanda", windows(), journal=tmp_path, key="one")
    with pytest.raises(ArtifactError, match="must be of this model, these data and these settings"):
        prune(model("llama"), "0.5", "wanda", windows(), journal=tmp_path, key="other")


def test_a_finished_journal_gives_everything_back_without_work(tmp_path):
    first, second = model("gpt2"), model("gpt2")
    made = prune(first, "0.5", "wanda", windows(), journal=tmp_path, key="k")

    def never(block):
        raise AssertionError("a block that is done is not done again")

    told = []
    outcomes = walk_through(
        second, windows(), never, journal=tmp_path, key="k", progress=told.append
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert {n: m.sum() for o in outcomes for n, m in o.tensors.items()} == {
        n: m.sum() for n, m in made.masks.items()
    }
    assert told == [1, 1]
    assert len(list(tmp_path.glob("hidden-*"))) == 1  # only what the next block would read


def test_memory_is_what_was_predicted(tmp_path):
    """In a process of its own; the journal is written on the way."""
    done = subprocess.run(
        [sys.executable, str(HERE / "measured_pass.py"), str(tmp_path)],
        capture_output=True, text=True, timeout=300, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["grown"] <= found["predicted"] * 1.1
    assert found["predicted"] <= found["grown"] * 1.6  # a bound that says nothing is no prediction


def test_a_pass_that_cannot_fit_is_refused_with_the_number():
    found = memory.predict(model("llama"), 1000, 64, 8, curvature=True, targets=True)
    assert found.hidden == 2 * 1000 * 64 * 32 * 4
    with pytest.raises(BudgetError) as caught:
        memory.check(found, 10 * 2**20, 1000)
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("the calibration needs 17.2 MiB at its peak (209.9 KiB of")
    assert "the memory budget is 10 MiB; 539 of the 1000 windows would fit" in str(caught.value)
    assert caught.value.nearest == "memory=18MiB"
    memory.check(found, float(found.total), 1000)


def test_outcomes_carry_tensors_and_reports():
    def work(block):
        return Outcome({"index": torch.tensor(block.index)}, {"name": block.name})

    outcomes = walk_through(model("bert"), windows(), work)
    assert [int(o.tensors["index"]) for o in outcomes] == [0, 1]
    assert outcomes[1].report["name"] == "encoder.layer.1"
