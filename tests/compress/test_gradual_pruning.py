"""Pruning while training: how much is left at every step, what never returns, what a kill costs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed import model
from small_training import Rows, collate, state
from torch import nn
from torch.nn.utils import parametrize
from transformers import Trainer, TrainerCallback, TrainingArguments

from parsimony.compress import masks as masking
from parsimony.compress.gradual_pruning import GradualPruning
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.prunable import prunable
from parsimony.core.pruning_schedule import PruningSchedule
from parsimony.core.training import TrainSettings, train

SCHEDULE = PruningSchedule(0.6, start=3, end=11, total=16, every=2)
SETTINGS = {"learning_rate": 1e-2, "batch_size": 4, "weight_decay": 0.1}


class Watch(TrainerCallback):
    """Notes after every step what is zero, and the learning rate."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.zeros, self.rates = names, [], []

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        found = given["model"]
        self.zeros.append({n: found.get_parameter(n).detach() == 0 for n in self.names})
        self.rates.append(given["optimizer"].param_groups[0]["lr"])


def trained(
    folder: Path, architecture: str = "llama", pruning: GradualPruning | None = None, **options: Any
) -> tuple[nn.Module, Watch]:
    found = model(architecture)
    watch = Watch(list(prunable(found)))
    callbacks = [pruning, watch] if pruning else [watch]
    settings = TrainSettings(**{"steps": 16, **SETTINGS, **options.pop("settings", {})})
    options = {"keep": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(found, Rows(), collate, settings, folder, callbacks=callbacks, **options)
    return found, watch


def left(zeros: dict[str, torch.Tensor]) -> int:
    return sum(int((~zero).sum()) for zero in zeros.values())


@pytest.mark.parametrize("score", ["magnitude", "random"])
def test_the_density_is_the_schedules_at_every_step_and_nothing_returns(
    score: str, tmp_path: Path
) -> None:
    pruning = GradualPruning(SCHEDULE, score=score)
    found, watch = trained(tmp_path, pruning=pruning)
    total = sum(weight.numel() for weight in prunable(found).values())
    counts = [left(zeros) for zeros in watch.zeros]
    assert counts == [round(SCHEDULE.density(step) * total) for step in range(16)]
    assert counts == [pruning.active(step) for step in range(16)]
    assert pruning.density == counts[-1] / total
    for before, after in zip(watch.zeros, watch.zeros[1:], strict=False):
        assert all((after[name] | ~before[name]).all() for name in before)
    average = pruning.average_active(16)
    assert average == sum(counts) / 16
    assert average / total == pytest.approx(SCHEDULE.average_density, rel=3e-3)
    assert pruning.average_active(5) == sum(counts[:5]) / 5
    assert masking.intact(found, pruning.masks)


def test_the_threshold_is_one_over_all_tensors(tmp_path: Path) -> None:
    once = PruningSchedule(0.5, start=0, end=1, total=2, every=1)
    found = model("llama")
    sizes = {name: weight.detach().abs() for name, weight in prunable(found).items()}
    pruning = GradualPruning(once)
    trained(tmp_path, pruning=pruning, settings={"steps": 2}, stop_after=1)
    kept = torch.cat([sizes[name][mask] for name, mask in pruning.masks.items()])
    gone = torch.cat([sizes[name][~mask] for name, mask in pruning.masks.items()])
    assert kept.min() >= gone.max()
    assert {"lm_head.weight"} < set(pruning.masks)
    shares = [mask.float().mean().item() for mask in pruning.masks.values()]
    assert max(shares) - min(shares) > 0.01  # layers are not pruned alike


def test_what_is_kept_trains_as_under_a_parametrization() -> None:
    """Weight times mask in every forward pass, and AdamW on the weight behind it."""

    class Masked(nn.Module):
        def __init__(self, mask: torch.Tensor) -> None:
            super().__init__()
            self.register_buffer("mask", mask)

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * self.mask

    schedule = PruningSchedule(0.7, start=2, end=6, total=10, every=2)
    torch.manual_seed(0)
    ours, x, y = (
        nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).double(),
        *(torch.randn(5, width, dtype=torch.float64) for width in (8, 3)),
    )
    theirs = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    theirs.load_state_dict(ours.state_dict())
    for layer in (theirs[0], theirs[2]):
        mask = Masked(torch.ones_like(layer.weight))
        parametrize.register_parametrization(layer, "weight", mask)
    pruning = GradualPruning(schedule)

    class State:
        global_step, max_steps = 0, 10

    steppers = [
        torch.optim.AdamW(m.parameters(), lr=0.05, weight_decay=0.1) for m in (ours, theirs)
    ]
    pruning.on_train_begin(None, State, None, model=ours)
    for step in range(10):
        State.global_step = step
        pruning.on_step_begin(None, State, None)
        for name, layer in (("0.weight", theirs[0]), ("2.weight", theirs[2])):
            layer.parametrizations.weight[0].mask.copy_(pruning.masks[name])
        norms = []
        for net, stepper in zip((ours, theirs), steppers, strict=True):
            (net(x) - y).square().mean().backward()
            norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.1))
            stepper.step()
            stepper.zero_grad()
        pruning.on_optimizer_step(None, State, None)
        torch.testing.assert_close(norms[0], norms[1], rtol=1e-12, atol=0)
        for place in (0, 2):
            torch.testing.assert_close(ours[place].weight, theirs[place].weight, rtol=1e-12, atol=0)
    assert pruning.density == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("score", ["magnitude", "random"])
def test_two_of_four_are_protected_to_the_end(
    architecture: str, score: str, tmp_path: Path
) -> None:
    half = PruningSchedule(0.5, start=3, end=11, total=16, every=4)
    pruning = GradualPruning(half, two_of_four=True, score=score)
    trained(tmp_path, architecture, pruning)
    for mask in pruning.masks.values():
        rows = mask if architecture == "llama" else mask.T
        assert (rows.reshape(-1, 4).sum(1) == 2).all()


def test_a_tied_head_stays_dense_and_is_told_of(tmp_path: Path) -> None:
    pruning, found = GradualPruning(SCHEDULE), model("gpt2")
    with pytest.warns(UserWarning, match="the output projection is the embedding: it stays dense"):
        train(found, Rows(), collate, TrainSettings(steps=16, **SETTINGS), tmp_path,
              callbacks=[pruning], keep=False)  # fmt: skip
    assert found.lm_head.weight.all()
    assert "lm_head.weight" not in pruning.masks and len(pruning.masks) == 8


def test_exempt_tensors_stay_dense(tmp_path: Path) -> None:
    pruning = GradualPruning(SCHEDULE, exempt=["lm_head", "down_proj"])
    found, _ = trained(tmp_path, pruning=pruning)
    assert found.lm_head.weight.all()
    assert not any("down_proj" in name for name in pruning.masks)
    assert pruning.history[0][1] == sum(mask.numel() for mask in pruning.masks.values())


def test_the_learning_rate_knows_nothing_of_it(tmp_path: Path) -> None:
    _, pruned = trained(tmp_path / "pruned", pruning=GradualPruning(SCHEDULE))
    _, dense = trained(tmp_path / "dense")
    assert pruned.rates == dense.rates


def test_a_run_killed_in_mid_schedule_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole = GradualPruning(SCHEDULE)
    first, _ = trained(tmp_path / "whole", pruning=whole)
    trained(tmp_path / "parts", pruning=GradualPruning(SCHEDULE), stop_after=8, keep=True)
    parts = GradualPruning(SCHEDULE)
    second, _ = trained(tmp_path / "parts", pruning=parts, keep=True)
    assert all(torch.equal(v, state(second)[n]) for n, v in state(first).items())
    assert parts.history == whole.history
    assert all(torch.equal(mask, parts.masks[name]) for name, mask in whole.masks.items())
    saved = masking.load(tmp_path / "parts" / "checkpoints" / "checkpoint-16")
    assert all(torch.equal(mask, saved[name]) for name, mask in whole.masks.items())


def test_another_schedule_on_resuming_is_refused_with_both(tmp_path: Path) -> None:
    trained(tmp_path, pruning=GradualPruning(SCHEDULE), stop_after=4, keep=True)
    other = PruningSchedule(0.7, start=3, end=11, total=16, every=2)
    for pruning in (GradualPruning(other), GradualPruning(SCHEDULE, score="random")):
        with pytest.raises(InputError, match=r"began with, .*'sparsity': 0.6.* but got .*sparsity"):
            trained(tmp_path, pruning=pruning, keep=True)


def test_a_dense_checkpoint_cannot_go_on_pruned(tmp_path: Path) -> None:
    trained(tmp_path, stop_after=4, keep=True)
    with pytest.raises(ArtifactError, match="must hold the masks of a gradual pruning"):
        trained(tmp_path, pruning=GradualPruning(SCHEDULE), keep=True)


def test_a_plain_trainer_takes_it_and_resumes(tmp_path: Path) -> None:
    def run(folder: Path, pruning: GradualPruning, resume: bool = False) -> nn.Module:
        found = model("llama")
        arguments = TrainingArguments(
            output_dir=str(folder), max_steps=16, learning_rate=1e-2, use_cpu=True, report_to=[],
            disable_tqdm=True, save_steps=5, per_device_train_batch_size=4,
            gradient_accumulation_steps=2, remove_unused_columns=False,
        )  # fmt: skip
        trainer = Trainer(found, arguments, collate, train_dataset=Rows(), callbacks=[pruning])
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-5") if resume else None)
        return found

    whole = GradualPruning(SCHEDULE)
    first = run(tmp_path, whole)
    assert masking.intact(first, whole.masks)
    assert whole.density == pytest.approx(0.4, abs=1e-4)
    again = GradualPruning(SCHEDULE)
    run(tmp_path, again, resume=True)
    assert again.history == whole.history
    assert all(torch.equal(mask, again.masks[name]) for name, mask in whole.masks.items())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: GradualPruning(SCHEDULE, score="size"), "unknown score, but got 'size'"),
        (lambda: GradualPruning(SCHEDULE, two_of_four=True), "at most half can go, but got 0.6"),
        (lambda: GradualPruning(SCHEDULE, exempt=["proj", "head"]), "something must be left"),
        (
            lambda: GradualPruning(PruningSchedule(0.5, 3, 11, 20, 2)),
            r"as many steps as the training, but got '20 and 16'. Give the schedule total=16",
        ),
    ],
)
def test_bad_input_is_explained(make: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=text):
        trained(tmp_path, pruning=make())


def test_a_layer_that_four_does_not_divide_is_named() -> None:
    class State:
        global_step, max_steps = 0, 16

    half = PruningSchedule(0.5, start=3, end=11, total=16, every=4)
    with pytest.raises(InputError, match=r"0.weight: the pattern 2:4 needs a multiple of 4 inputs"):
        GradualPruning(half, two_of_four=True).on_train_begin(
            None, State, None, model=nn.Sequential(nn.Linear(6, 4))
        )
