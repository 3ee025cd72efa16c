"""The one way to train: resumed runs, checks on gradients and losses, schedule, decay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parsimony.core import schedules, training
from parsimony.core.errors import ArtifactError, InputError, ParsimonyError
from parsimony.core.events import Events, read_events
from parsimony.core.training import DivergedError, GradientCheck, TrainSettings

PRIMES = (2, 3, 5, 7, 11)


def fit(folder: Path, model: nn.Module | None = None, **changes: object) -> nn.Module:
    """Train a tiny adapter (or ``model``) for 12 steps, or up to ``stop_after``."""
    stop, keep = changes.pop("stop_after", None), changes.pop("keep", True)
    model = tiny.lora(tiny.bert()) if model is None else model
    training.train(
        model, tiny.rows(), tiny.collator(), tiny.settings(**changes), folder,
        stop_after=stop, evaluate=lambda _, step: step / 10, evaluate_at=frozenset({4, 8}),
        keep=keep,
    )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run, never stopped."""
    folder = tmp_path_factory.mktemp("reference")
    fit(folder)
    return folder


def test_a_run_stopped_at_every_prime_ends_in_the_same_bytes(
    reference: Path, tmp_path: Path
) -> None:
    for stop in (*PRIMES, None):
        fit(tmp_path, stop_after=stop)
    expected, found = tiny.final_bytes(reference), tiny.final_bytes(tmp_path)
    assert [name for name in expected if expected[name] != found[name]] == []


def test_a_full_model_stopped_halfway_ends_in_the_same_bytes(tmp_path: Path) -> None:
    for name, stops in (("once", [None]), ("twice", [7, None])):
        for stop in stops:
            fit(tmp_path / name, tiny.bert(), stop_after=stop)
    files = [
        [(tmp_path / run / "checkpoints" / "checkpoint-12" / name).read_bytes()
         for name in ("model.safetensors", "optimizer.pt")]
        for run in ("once", "twice")
    ]  # fmt: skip
    assert files[0] == files[1]


def test_the_seed_decides(reference: Path, tmp_path: Path) -> None:
    fit(tmp_path, seed=1)
    assert tiny.final_bytes(tmp_path)["events.jsonl"] != tiny.final_bytes(reference)["events.jsonl"]


def test_events_come_in_the_order_of_the_steps(reference: Path) -> None:
    events = read_events(reference / "events.jsonl")
    steps = [event["step"] for event in events]
    assert steps == sorted(steps)
    assert [e["step"] for e in events if "loss" in e] == list(range(1, 13))
    assert [(e["step"], e["validation"]) for e in events if "validation" in e] == [
        (4, 0.4), (8, 0.8)
    ]  # fmt: skip


def test_at_most_two_checkpoints_stay_and_all_are_sealed(reference: Path) -> None:
    folders = sorted(f.name for f in (reference / "checkpoints").iterdir())
    assert folders == ["checkpoint-11", "checkpoint-12"]
    assert training.newest_checkpoint(reference / "checkpoints").name == "checkpoint-12"


def test_without_checkpoints_it_ends_in_the_same_weights(reference: Path, tmp_path: Path) -> None:
    found = fit(tmp_path, keep=False).state_dict()
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))
    shutil.copytree(reference, tmp_path / "run")
    expected = fit(tmp_path / "run").state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in found)


def test_a_finished_training_gives_its_weights_again(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference, tmp_path / "run")
    trained, again = fit(tmp_path / "other"), fit(tmp_path / "run")
    state, restored = trained.state_dict(), again.state_dict()
    assert all(torch.equal(state[key], restored[key]) for key in state)
    assert tiny.final_bytes(tmp_path / "run") == tiny.final_bytes(reference)


def test_a_finished_full_model_gives_its_weights_again(tmp_path: Path) -> None:
    trained = fit(tmp_path, tiny.bert(), steps=2)
    again = fit(tmp_path, tiny.bert(seed=9), steps=2)
    state, restored = trained.state_dict(), again.state_dict()
    assert all(torch.equal(state[key], restored[key]) for key in state)


def test_a_half_written_checkpoint_is_deleted_and_not_used(reference: Path, tmp_path: Path) -> None:
    fit(tmp_path, stop_after=5)
    checkpoints = tmp_path / "checkpoints"
    half = shutil.copytree(checkpoints / "checkpoint-5", checkpoints / "checkpoint-9")
    (half / "manifest.json").unlink()
    (half / "optimizer.pt").write_bytes(b"half")
    assert training.newest_checkpoint(checkpoints).name == "checkpoint-5"
    assert not half.exists()
    fit(tmp_path)
    assert tiny.final_bytes(tmp_path) == tiny.final_bytes(reference)


@pytest.mark.parametrize("name", ["optimizer.pt", "adapter_model.safetensors", "rng_state.pth"])
def test_a_checkpoint_that_was_changed_is_refused(tmp_path: Path, name: str) -> None:
    fit(tmp_path, stop_after=2)
    file = tmp_path / "checkpoints" / "checkpoint-2" / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ArtifactError) as caught:
        fit(tmp_path)
    assert f"checkpoint-2: the file '{name}' differs from its manifest" in str(caught.value)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert training.newest_checkpoint(tmp_path / "missing") is None


def test_a_line_cut_short_is_no_event(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    assert read_events(file) == []
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [e["step"] for e in read_events(file)] == [1, 2]
    Events(file, keep_until=1).add(step=2, loss=0.5)
    assert file.read_text() == '{"step": 1}\n{"loss": 0.5, "step": 2}\n'


def test_the_first_step_moves_every_trained_tensor_that_has_a_gradient(tmp_path: Path) -> None:
    before = {n: p.detach().clone() for n, p in tiny.lora(tiny.bert()).named_parameters()}
    model = fit(tmp_path, stop_after=1)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    # lora_A has no gradient as long as lora_B is zero; one step later it has.
    assert moved == {n for n in trained if "lora_A" not in n}
    model = fit(tmp_path, stop_after=2)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == trained


def test_the_wrapper_trains_as_a_plain_loop_does(tmp_path: Path) -> None:
    changes = {"steps": 5, "batch_size": 40, "weight_decay": 0.1}
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = fit(tmp_path, tiny.bert(**plain), **changes)
    settings = tiny.settings(**changes)
    twin = tiny.bert(**plain).train()
    stepper = training.optimizer_for([p for p in twin.parameters() if p.requires_grad], settings)
    factor = training.schedule(settings)
    batch = tiny.collator()([tiny.rows()[i] for i in range(40)])
    for step in range(5):
        for group in stepper.param_groups:
            group["lr"] = settings.learning_rate * factor(step)
        twin(**batch).loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        stepper.step()
        stepper.zero_grad()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=2e-4, rtol=1e-3, msg=name)


class WithUnused(nn.Module):
    """A classifier with a tensor that the loss does not depend on, used or not."""

    def __init__(self, used: bool) -> None:
        super().__init__()
        self.inner = tiny.bert()
        self.idle = nn.Parameter(torch.ones(3))
        self.used = used

    def forward(self, **batch: torch.Tensor) -> object:
        output = self.inner(**batch)
        if self.used:
            output["loss"] = output["loss"] + 0 * self.idle.sum()
        return output


@pytest.mark.parametrize("used", [False, True])
def test_a_tensor_that_gets_no_gradient_is_named(tmp_path: Path, used: bool) -> None:
    with pytest.raises(ParsimonyError) as caught:
        fit(tmp_path, WithUnused(used))
    assert str(caught.value) == (
        "every trainable tensor must receive a gradient within two steps, but got ['idle']. "
        "1 tensors received none: freeze them or use them in forward"
    )


def check(model: nn.Module, first: int, frozen: tuple[bool, ...]) -> None:
    """Look at a model without gradients in as many steps as ``frozen`` has entries.

    Args:
        model: trains.
        first: steps done before.
        frozen: whether a callback has frozen the model in that step.
    """
    watch = GradientCheck(model, first)
    for step, off in enumerate(frozen, start=first):
        model.requires_grad_(not off)
        watch.on_pre_optimizer_step(None, SimpleNamespace(global_step=step), None)


def test_gradients_are_awaited_for_two_steps_after_a_resume_too() -> None:
    for first in (0, 1):
        check(nn.Linear(2, 2), first, (False,))
        with pytest.raises(ParsimonyError, match="within two steps"):
            check(nn.Linear(2, 2), first, (False, False))


def test_steps_in_which_a_tensor_is_frozen_do_not_count() -> None:
    check(nn.Linear(2, 2), 0, (True, False, True, True))
    with pytest.raises(ParsimonyError, match="within two steps"):
        check(nn.Linear(2, 2), 0, (True, False, True, False))


def test_a_run_past_its_second_step_is_not_checked_again() -> None:
    check(nn.Linear(2, 2), 2, (False, False))
    check(nn.Linear(2, 2), 7, (False, False))


def test_a_loss_that_explodes_stops_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(DivergedError) as caught:
        fit(tmp_path, learning_rate=1e30)
    assert str(caught.value) in {
        f"the loss must stay finite, step {step}, but got {value}. Lower the learning rate"
        for step in (2, 3) for value in ("nan", "inf")
    }  # fmt: skip
    events = read_events(tmp_path / "events.jsonl")
    assert [e["step"] for e in events] == list(range(1, len(events) + 1))


class InfiniteLoss(nn.Module):
    """A loss that is infinite from the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny.bert()

    def forward(self, **batch: torch.Tensor) -> object:
        output = self.inner(**batch)
        output["loss"] = output["loss"] * float("inf")
        return output


def test_an_infinite_loss_stops_at_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="the loss must stay finite, step 1, but got inf"):
        fit(tmp_path, InfiniteLoss())
    assert read_events(tmp_path / "events.jsonl") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_validation_score_that_explodes_stops_with_its_step(tmp_path: Path, value: float) -> None:
    with pytest.raises(DivergedError) as caught:
        training.train(
            tiny.lora(tiny.bert()), tiny.rows(), tiny.collator(), tiny.settings(), tmp_path,
            evaluate=lambda *_: value, evaluate_at=frozenset({2}),
        )  # fmt: skip
    assert str(caught.value) == (
        f"the validation score must stay finite, step 2, but got {value}. Lower the learning rate"
    )


def test_progress_is_told_of_every_step_once(tmp_path: Path) -> None:
    seen: list[int] = []
    for stop in (5, None):
        training.train(
            tiny.lora(tiny.bert()), tiny.rows(), tiny.collator(), tiny.settings(), tmp_path,
            stop_after=stop, on_step=seen.append,
        )  # fmt: skip
    assert seen == list(range(1, 13))


# Rows have 3 to 9 tokens, and 40 of them make 5 steps of 8.
BY_TOKENS = [
    ("wsd", {}),
    ("cosine", {"minimum": 0.2}),
    ("inverse-square-root", {"decay": "1-sqrt"}),
    ("power", {"a": 1e-3, "b": -0.2, "floor": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), BY_TOKENS)
def test_a_schedule_by_name_counts_every_token_and_resumes_in_the_same_bytes(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    changes = {"schedule": name, "schedule_options": options}
    for run, stops in (("once", [None]), ("twice", [7, None])):
        for stop in stops:
            fit(tmp_path / run, stop_after=stop, **changes)
    assert tiny.final_bytes(tmp_path / "once") == tiny.final_bytes(tmp_path / "twice")
    state = torch.load(
        tmp_path / "once" / "checkpoints" / "checkpoint-12" / "scheduler.pt", weights_only=True
    )
    rows = tiny.rows()
    lengths = [len(rows[i]["input_ids"]) for i in range(len(rows))]
    # Two whole epochs and two steps, which the seed draws.
    rest = state["tokens_seen"] - 2 * sum(lengths)
    assert 16 * min(lengths) <= rest <= 16 * max(lengths)
    assert state["total_tokens"] == round(96 * sum(lengths) / 40)
    assert state["warmup_tokens"] == round(0.06 * state["total_tokens"])


def test_the_tokens_of_a_step_are_those_of_all_its_parts(tmp_path: Path) -> None:
    seen = []
    for accumulation in (1, 4):
        folder = tmp_path / str(accumulation)
        fit(folder, accumulation=accumulation, schedule="wsd", stop_after=3)
        state = folder / "checkpoints" / "checkpoint-3" / "scheduler.pt"
        seen.append(torch.load(state, weights_only=True)["tokens_seen"])
    assert seen[0] == seen[1]


class _RowMean(nn.Module):
    """Loss: mean over rows of the mean over their labelled tokens."""

    mean_over_rows = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(20))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, **_: object) -> dict:
        seen = labels != -100
        values = (self.weight[input_ids] * seen).square()
        return {"loss": (values.sum(1) / seen.sum(1)).mean(), "logits": values}


def test_a_model_whose_loss_is_a_mean_over_rows_may_be_split(tmp_path: Path) -> None:
    """Rows are of 3 to 9 tokens; weighed by tokens, the parts would not add up to the whole."""
    losses = []
    for accumulation in (1, 8):
        training.train(
            _RowMean(), tiny.rows(), tiny.collator("causal-lm"),
            tiny.settings(accumulation=accumulation, steps=3), tmp_path / str(accumulation),
        )  # fmt: skip
        events = read_events(tmp_path / str(accumulation) / "events.jsonl")
        losses.append([e["loss"] for e in events if "loss" in e])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_tokens_of_rows_that_are_alike_are_planned_exactly() -> None:
    rows = [{"input_ids": torch.zeros(5)}] * 10
    stacked = lambda some: {"input_ids": torch.stack([r["input_ids"] for r in some])}  # noqa: E731
    # Epochs of 4 + 4 + 2 rows.
    assert schedules.count_tokens(rows, stacked, 6, 4) == (5, 100)
    assert schedules.count_tokens(rows, stacked, 8, 4) == (5, 140)
    labels = lambda some: {"labels": torch.zeros(len(some))}  # noqa: E731
    assert schedules.count_tokens(rows, labels, 3, 4) == (1, 10)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schedule": "wds"}, "unknown schedule 'wds'. Did you mean 'wsd'"),
        ({"schedule_options": {"floor": 0.1}}, "the schedule 'linear' has no options, but got"),
        (
            {"schedule": "cosine", "schedule_options": {"minimun": 0.1}},
            "the schedule 'cosine' has no option 'minimun'. Did you mean 'minimum'",
        ),
        ({"schedule": "power", "schedule_options": {"b": 1}}, "b must be below 0"),
    ],
)
def test_bad_schedules_are_refused(tmp_path: Path, changes: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        fit(tmp_path, **changes)


def test_a_step_at_rate_zero_moves_nothing_and_does_not_count() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    watch = GradientCheck(model)
    watch.on_pre_optimizer_step(None, None, None, optimizer=optimizer)
    optimizer.param_groups[0]["lr"] = 0.1
    watch.on_pre_optimizer_step(None, None, None, optimizer=optimizer)
    with pytest.raises(ParsimonyError, match="within two steps"):
        watch.on_pre_optimizer_step(None, None, None, optimizer=optimizer)


def test_the_schedule_is_the_closed_form() -> None:
    factor = training.schedule(TrainSettings(1e-3, steps=10, warmup=0.2))
    expected = [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]
    assert [factor(step) for step in range(11)] == pytest.approx(expected)


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_every_step_of_a_schedule_moves(steps: int, warmup: float) -> None:
    factor = training.schedule(TrainSettings(1.0, steps=steps, warmup=warmup))
    factors = [factor(step) for step in range(steps)]
    assert all(0 < f <= 1 for f in factors)
    assert max(factors) == 1
    peak = factors.index(1)
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_vectors_do_not_decay() -> None:
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    scalar = nn.Parameter(torch.ones(()))
    settings = TrainSettings(0.1, steps=1, weight_decay=0.5)
    stepper = training.optimizer_for([matrix, vector, scalar], settings)
    for parameter in (matrix, vector, scalar):
        parameter.grad = torch.zeros_like(parameter)
    stepper.step()
    torch.testing.assert_close(matrix, torch.full((2, 2), 1 - 0.1 * 0.5))
    assert vector.tolist() == [1, 1] and scalar.item() == 1


def test_an_optimizer_of_vectors_alone_has_one_group() -> None:
    stepper = training.optimizer_for([nn.Parameter(torch.ones(2))], TrainSettings(0.1, steps=1))
    assert [group["weight_decay"] for group in stepper.param_groups] == [0.0]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": -1.0}]
)
def test_settings_must_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="steps, batch size and learning rate must be positive"):
        tiny.settings(**wrong)


def test_the_state_of_a_checkpoint_is_plain_data(reference: Path) -> None:
    newest = reference / "checkpoints" / "checkpoint-12"
    assert torch.load(newest / "optimizer.pt", weights_only=True)["state"]
    manifest = json.loads((newest / "manifest.json").read_text())
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(
        manifest["files"]
    )


def test_an_unknown_precision_is_not_taken_for_the_plain_one() -> None:
    with pytest.raises(InputError) as error:
        training.TrainSettings(1e-3, 1, precision="bf61")
    assert str(error.value) == (
        "unknown precision, but got 'bf61'. Did you mean 'bf16'? Known: bf16, fp16, fp32, tf32"
    )
