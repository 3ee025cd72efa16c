"""Schedules over tokens: closed forms, joints, batch switches, resume, bad input."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from parsimony.core.errors import InputError
from parsimony.tune.schedules import (
    SHAPES,
    WSD,
    Cosine,
    InverseSquareRoot,
    PowerScheduler,
    TokenSchedule,
)

# Nothing trains here.
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")


def adam(*rates: float) -> torch.optim.Optimizer:
    """AdamW with one scalar per rate."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates]
    return torch.optim.AdamW(groups or [torch.zeros(1, requires_grad=True)])


def power(*rates: float, **given: Any) -> PowerScheduler:
    return PowerScheduler(adam(*(rates or (0.02,))), **{"batch": 128, "a": 4.6, **given})


def walk(schedule: TokenSchedule, tokens: list[int]) -> list[list[float]]:
    """The rates of all groups after each step."""
    rates = []
    for count in tokens:
        schedule.step(tokens=count)
        rates.append(schedule.get_last_lr())
    return rates


# Closed forms


def test_power_is_the_paper_s_formula() -> None:
    schedule = power()
    for n in (1e6, 5.7e8, 1e9, 1e10, 1e12):
        assert schedule.rate(n) == pytest.approx(min(0.02, 128 * 4.6 * n**-0.51), rel=1e-14)
    assert schedule.rate(0) == 0.02
    lifts = schedule.cap_lifts_at
    assert schedule.rate(lifts * (1 - 1e-9)) == 0.02 > schedule.rate(lifts * (1 + 1e-9))


def test_tokens_and_sequences_give_one_curve() -> None:
    sequences = power(batch=64, sequence_length=1024)
    tokens = power(batch=64 * 1024, a=4.6 / 1024, unit="tokens", sequence_length=1024)
    assert sequences.tokens_per_step == tokens.tokens_per_step == 65536
    for n in (1e9, 1e10, 1e11):
        assert sequences.rate(n) == pytest.approx(tokens.rate(n), rel=1e-14)


def test_wsd_by_hand() -> None:
    schedule = WSD(adam(1.0), warmup_tokens=20, total_tokens=100, decay_tokens=40)
    seen = [schedule.get_last_lr()[0], *(r[0] for r in walk(schedule, [10] * 12))]
    assert seen == [0, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0]


def test_the_stages_follow_one_another() -> None:
    schedule = WSD(adam(1.0), warmup_tokens=20, total_tokens=100, decay_tokens=40)
    stages = [schedule.stage]
    for _ in range(10):
        schedule.step(tokens=10)
        stages.append(schedule.stage)
    assert stages == ["warmup"] * 2 + ["main"] * 4 + ["decay"] * 4 + ["done"]


def test_cosine_ends_at_a_tenth() -> None:
    schedule = Cosine(adam(1.0), total_tokens=110, warmup_tokens=10)
    assert [schedule.factor(n) for n in (0, 5, 10)] == [0, 0.5, 1]
    assert schedule.factor(60) == pytest.approx(0.55, rel=1e-14)
    assert schedule.factor(35) == pytest.approx(0.1 + 0.45 * (1 + math.sqrt(0.5)), rel=1e-14)
    assert schedule.factor(110) == schedule.factor(500) == 0.1
    assert Cosine(adam(1.0), total_tokens=10).get_last_lr() == [1.0]


def test_inverse_square_root_with_cooldown() -> None:
    schedule = InverseSquareRoot(
        adam(1.0), warmup_tokens=100, total_tokens=2000, decay_tokens=400, decay="linear"
    )
    assert [schedule.factor(n) for n in (50, 100, 400, 1600)] == [0.5, 1, 0.5, 0.25]
    assert schedule.factor(1800) == 0.125
    assert schedule.factor(2000) == 0


@pytest.mark.parametrize(
    ("shape", "quarter"),
    [
        ("linear", 0.1 + 0.9 * 0.75),
        ("cosine", 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),
        ("exponential", 10**-0.25),
        ("1-sqrt", 0.1 + 0.9 * 0.5),
    ],
)
def test_decay_shapes(shape: str, quarter: float) -> None:
    schedule = WSD(adam(1.0), total_tokens=800, decay_tokens=400, decay=shape, floor=0.1)
    assert schedule.factor(400) == 1
    assert schedule.factor(500) == pytest.approx(quarter, rel=1e-14)
    assert schedule.factor(800) == schedule.factor(9999) == pytest.approx(0.1, rel=1e-14)


def test_a_tenth_decays_where_only_the_total_is_given() -> None:
    schedule = WSD(adam(1.0), total_tokens=1000)
    assert (schedule.decay_start, schedule.decay_tokens) == (900, 100)
    assert WSD(adam(1.0), total_tokens=1000, decay_tokens=0).factor(5000) == 1


# Joints


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
@pytest.mark.parametrize("kind", [WSD, InverseSquareRoot, PowerScheduler])
def test_both_joints_are_continuous(kind: type[TokenSchedule], shape: str) -> None:
    warm, start = 10**9, 9 * 10**9
    more = {"batch": 128, "a": 4.6} if kind is PowerScheduler else {}
    schedule = kind(
        adam(0.02), warmup_tokens=warm, total_tokens=10**10, decay_tokens=10**9, decay=shape,
        floor=0.01, **more,
    )  # fmt: skip
    for joint in (warm, start):
        here = schedule.factor(joint)
        assert schedule.factor(joint * (1 - 1e-14)) == pytest.approx(here, rel=1e-12)
        assert schedule.factor(joint * (1 + 1e-14)) == pytest.approx(here, rel=1e-12)
        assert here == schedule.main(joint)


# The square root's slope is infinite at its start, so 1e-14 before the joint is not 1e-12 after.
def test_the_square_root_joins_in_the_limit() -> None:
    schedule = WSD(adam(1.0), total_tokens=10**10, decay_tokens=10**9, decay="1-sqrt")
    assert schedule.factor(9 * 10**9) == 1
    for gap in (1, 100, 10**4):
        assert 1 - schedule.factor(9 * 10**9 + gap) == pytest.approx(math.sqrt(gap / 1e9), rel=1e-9)


@pytest.mark.parametrize("at", [0, 3, 40])
def test_decay_begins_at_any_time(at: int) -> None:
    schedule = power(batch=1000, sequence_length=10**6, a=0.5, warmup_tokens=5 * 10**9)
    for _ in range(at):
        schedule.step()
    before = schedule.get_last_lr()
    schedule.begin_decay(2 * 10**9)
    assert schedule.get_lr() == before
    assert schedule.total_tokens == at * 10**9 + 2 * 10**9
    schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(before[0] / 2, rel=1e-14)
    schedule.step()
    assert schedule.get_last_lr() == [0.0]


def test_a_decay_begun_replaces_the_planned_one() -> None:
    schedule = WSD(adam(1.0), total_tokens=1000, tokens_per_step=100)
    schedule.step()
    schedule.begin_decay(200)
    assert [schedule.factor(n) for n in (100, 200, 300, 900)] == [1, 0.5, 0, 0]


# Steps and batches


def test_tokens_are_exact() -> None:
    fixed, said = WSD(adam(1.0), tokens_per_step=7), WSD(adam(1.0))
    for count in (3, 5, 11):
        fixed.step(tokens=count)
        said.step(tokens=count)
    fixed.step()
    assert (fixed.tokens_seen, said.tokens_seen) == (26, 19)


SWITCH = [  # 2e9 tokens a step at 64 sequences, then 4e9 at 128; tokens seen, batch
    (2e9, 64), (4e9, 64), (6e9, 64), (10e9, 128), (14e9, 128),
]  # fmt: skip


def test_a_batch_switch_by_hand() -> None:
    schedule = power(batch=64, sequence_length=31_250_000)
    rates = []
    for index in range(5):
        if index == 3:
            schedule.change_batch(128)
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    by_hand = [min(0.02, batch * 4.6 * tokens**-0.51) for tokens, batch in SWITCH]
    assert rates == pytest.approx(by_hand, rel=1e-14)
    assert rates[3] > rates[2]


def test_a_batch_nobody_told_of_is_found_at_its_second_step() -> None:
    schedule = power(batch=64, sequence_length=100)
    schedule.step(tokens=12_800)
    assert schedule.batch == 64
    text = "two steps running had 12800 tokens: the batch is now 128 sequences, it was 64"
    with pytest.warns(UserWarning, match=text):
        schedule.step(tokens=12_800)
    assert (schedule.batch, schedule.tokens_per_step) == (128, 12_800)


@pytest.mark.parametrize("steps", [[3200, 6400, 3200, 6400], [6401, 6401], [3200, 3300, 3200]])
def test_short_and_ragged_steps_are_no_new_batch(steps: list[int]) -> None:
    schedule = power(batch=64, sequence_length=100)
    walk(schedule, steps)
    assert (schedule.batch, schedule.tokens_seen) == (64, sum(steps))


def test_groups_keep_their_own_rate() -> None:
    schedule = power(0.02, 0.02 / 9, batch=128, sequence_length=10**8)
    schedule.step()
    full, hidden = schedule.get_last_lr()
    assert full == pytest.approx(128 * 4.6 * 1.28e10**-0.51, rel=1e-14)
    assert hidden == pytest.approx(full / 9, rel=1e-14)
    assert [g["lr"] for g in schedule.optimizer.param_groups] == [full, hidden]


def test_the_cap_may_be_named() -> None:
    schedule = power(0.005, eta_max=0.01)
    assert schedule.rate(1e8) == 0.01
    assert schedule.get_last_lr() == [0.005]


# State

MAKERS = {
    "power": lambda o: PowerScheduler(
        o, batch=64, a=4.6, sequence_length=31_250_000, warmup_tokens=3 * 10**9
    ),
    "wsd": lambda o: WSD(o, warmup_tokens=10**9, total_tokens=10**11, decay="1-sqrt"),
    "cosine": lambda o: Cosine(o, total_tokens=10**11),
    "root": lambda o: InverseSquareRoot(o, warmup_tokens=7 * 10**9),
}


@given(
    kind=st.sampled_from(sorted(MAKERS)),
    steps=st.lists(st.integers(1, 10**10), min_size=2, max_size=12),
    cut=st.integers(0, 11),
    decay_at=st.integers(0, 20),
    batch=st.integers(1, 500),
)
@settings(max_examples=60)
def test_a_resumed_schedule_is_bit_equal(
    kind: str, steps: list[int], cut: int, decay_at: int, batch: int
) -> None:
    make = MAKERS[kind]
    whole = make(adam(0.02, 0.007))
    rates, states = [], []
    for index, count in enumerate(steps):
        states.append(json.dumps(whole.state_dict()))
        act(whole, index, count, decay_at, batch)
        rates.append(whole.get_last_lr())
    cut %= len(steps)
    resumed = make(adam(0.02, 0.007))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the state's batch replaces the given one
        resumed.load_state_dict(json.loads(states[cut]))
    for index in range(cut, len(steps)):
        act(resumed, index, steps[index], decay_at, batch)
        assert resumed.get_last_lr() == rates[index]
    assert resumed.state_dict() == whole.state_dict()


def act(schedule: TokenSchedule, index: int, count: int, decay_at: int, batch: int) -> None:
    """One step, with a decay and a change of batch on the way."""
    if index == decay_at and schedule.stage in ("warmup", "main"):
        schedule.begin_decay(2 * count)
    if index == 3 and isinstance(schedule, PowerScheduler):
        schedule.change_batch(batch)
    schedule.step(tokens=count)


def test_the_state_says_what_a_reader_needs() -> None:
    schedule = power(batch=64, sequence_length=100, warmup_tokens=3)
    schedule.step()
    schedule.begin_decay(500)
    state = schedule.state_dict()
    expected = {
        "schedule": "PowerScheduler", "stage": "decay", "tokens_seen": 6400, "decay_start": 6400,
        "decay_tokens": 500, "a": 4.6, "b": -0.51, "eta_max": 0.02, "batch": 64,
        "unit": "sequences", "sequence_length": 100,
    }  # fmt: skip
    assert {name: state[name] for name in expected} == expected


def test_loading_sets_the_optimizer_s_rates() -> None:
    schedule = WSD(adam(1.0), warmup_tokens=100, tokens_per_step=10)
    schedule.step()
    other = WSD(adam(1.0), warmup_tokens=100, tokens_per_step=10)
    other.load_state_dict(schedule.state_dict())
    assert other.optimizer.param_groups[0]["lr"] == 0.1


def test_a_state_s_batch_replaces_another() -> None:
    state = power(batch=64).state_dict()
    schedule = power(batch=128)
    with pytest.warns(UserWarning, match=r"batch 64 replaces 128: call change_batch\(128\)"):
        schedule.load_state_dict(state)
    assert schedule.tokens_per_step == 64 * 4096


def test_transformers_trainer_takes_it(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": ((self.weight * x - labels) ** 2).mean()}

    def trainer(steps: int) -> Trainer:
        model = Line()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
        schedule = PowerScheduler(optimizer, batch=2, sequence_length=10**9, a=64 * 4.6)
        arguments = TrainingArguments(
            str(tmp_path), max_steps=steps, per_device_train_batch_size=2, save_steps=3,
            logging_steps=1, report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        rows = [{"x": torch.tensor([1.0]), "labels": torch.tensor([2.0])}] * 20
        return Trainer(model, arguments, train_dataset=rows, optimizers=(optimizer, schedule))

    trainer(3).train()
    resumed = trainer(6)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert resumed.lr_scheduler.tokens_seen == 12 * 10**9
    logged = [line["learning_rate"] for line in resumed.state.log_history if "loss" in line]
    by_hand = [0.02, *(128 * 4.6 * (2e9 * step) ** -0.51 for step in range(1, 6))]
    assert logged == pytest.approx(by_hand, rel=1e-12)


# Bad input


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: WSD(adam(), warmup_tokens=200, total_tokens=100, decay_tokens=10),
            r"must fit the run: 200 \+ 10 tokens of 100. Shorten one of them",
        ),
        (
            lambda: power(warmup_tokens=5, total_tokens=100, decay_tokens=200),
            r"must fit the run: 5 \+ 200 tokens of 100",
        ),
        (
            lambda: WSD(adam(), warmup_tokens=60, total_tokens=100, decay_tokens=50),
            r"must fit the run: 60 \+ 50 tokens of 100",
        ),
        (
            lambda: WSD(adam(), decay_tokens=50),
            r"total_tokens, which is missing. Give total_tokens, or .* begin_decay\(tokens\)",
        ),
        (lambda: WSD(adam(), warmup_tokens=-1), "warmup_tokens must be a whole number, 0 or more"),
        (
            lambda: WSD(adam(), total_tokens=10, decay_tokens=2.5),
            "decay_tokens must be a whole number, 0 or more, but got 2.5",
        ),
        (lambda: WSD(adam(), total_tokens=0), "total_tokens must be a positive whole number"),
        (lambda: WSD(adam(), tokens_per_step=0), "tokens_per_step must be a positive whole number"),
        (lambda: WSD(adam(), decay="linaer"), "unknown decay 'linaer'. Did you mean 'linear'"),
        (lambda: WSD(adam(), floor=1.5), r"left at the end must lie in \[0, 1\], but got 1.5"),
        (lambda: WSD(adam(), decay="exponential"), "never reaches 0, but got 0.0. Give floor"),
        (lambda: WSD(adam()).step(), r"has not said its own. Call step\(tokens=...\)"),
        (lambda: WSD(adam()).step(tokens=0), "tokens of a step must be a positive whole number"),
        (lambda: WSD(adam()).begin_decay(0), "tokens of the decay must be a positive whole"),
        (
            lambda: Cosine(adam(), total_tokens=9, warmup_tokens=9),
            r"must leave tokens for the cosine, but got \(9, 9\). Shorten",
        ),
        (lambda: Cosine(adam(), total_tokens=9, minimum=-1), r"must lie in \[0, 1\], but got -1"),
        (lambda: InverseSquareRoot(adam(), warmup_tokens=0), "needs a warm-up, which sets its"),
        (lambda: power(b=0.0), "b must be below 0, or the rate would grow, but got 0.0"),
        (lambda: power(b=math.nan), "b must be below 0, or the rate would grow, but got nan"),
        (lambda: power(a=-1.0), "a must be a positive number, but got -1.0"),
        (lambda: power(eta_max=math.inf), "eta_max must be a positive number, but got inf"),
        (lambda: power(batch=0), "batch must be a positive whole number, but got 0"),
        (lambda: power(sequence_length=1.5), "sequence_length must be a positive whole number"),
        (lambda: power().change_batch(0), "batch must be a positive whole number, but got 0"),
        (lambda: power(unit="token"), "unknown unit 'token' of the batch. Did you mean 'tokens'"),
        (
            lambda: power(batch=128 * 4096, unit="tokens"),  # a meant for sequences
            r"batch 524288 \* a 4.6 \* tokens\^-0.51 is 19.2. Is a per one of tokens",
        ),
        (
            lambda: power(a=4.6 / 4096),  # a meant for tokens
            r"batch 128 \* a 0.00112305 \* tokens\^-0.51 is 1.14e-06. Is a per one of sequences",
        ),
        (
            lambda: power(a=4.6 * (128 * 4096) ** -0.51),  # a fitted on steps
            "fitted on tokens, not steps",
        ),
    ],
)
def test_bad_input(make: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make()


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam", "DoG", "LDoG"])
def test_optimizers_that_find_their_own_step_are_refused(name: str) -> None:
    found = type(name, (torch.optim.SGD,), {})
    with pytest.raises(InputError, match=f"the rate of {name} is a factor on one it finds itself"):
        PowerScheduler(found([torch.zeros(1)], lr=1.0), batch=128)


def test_a_decay_begins_once() -> None:
    schedule = WSD(adam(), tokens_per_step=10)
    schedule.step()
    schedule.begin_decay(30)
    with pytest.raises(InputError, match="a decay can begin once: one of 30 tokens began at 10"):
        schedule.begin_decay(5)


def test_a_cap_that_never_lifts_is_said() -> None:
    text = r"the cap never lifts: you are running WSD \(eta_max 0.02 holds until 5.789e\+08"
    with pytest.warns(UserWarning, match=text):
        power(total_tokens=10**8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        power(total_tokens=10**9)


def test_the_paper_s_constants_without_mup_are_said() -> None:
    with pytest.warns(UserWarning, match=r"hold under muP, .* or use mup.parameter_groups"):
        found = PowerScheduler(adam(0.02), batch=512, sequence_length=1024)
    assert found.a == 4.6 / 4
    with pytest.warns(UserWarning, match="hold under muP"):
        assert PowerScheduler(adam(0.02), batch=2**20, unit="tokens").a == 4.6 / 4096
    optimizer = adam(0.02)
    optimizer.param_groups[0]["mup_width"] = 9.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PowerScheduler(optimizer, batch=128)


def test_a_steep_exponent_is_said() -> None:
    with pytest.warns(UserWarning, match="b = -1.1 is below -1"):
        power(b=-1.1, a=1e6)


def test_a_state_of_another_schedule_is_refused() -> None:
    with pytest.raises(InputError, match="a state of WSD is needed, but got 'PowerScheduler'"):
        WSD(adam()).load_state_dict(power().state_dict())
    incomplete = WSD(adam()).state_dict()
    del incomplete["tokens_seen"]
    with pytest.raises(InputError, match="Build the schedule that was saved, then load"):
        WSD(adam()).load_state_dict(incomplete)


def test_a_state_of_other_groups_is_refused() -> None:
    with pytest.raises(InputError, match="the state has 2 parameter groups and the optimizer 1"):
        WSD(adam(1.0)).load_state_dict(WSD(adam(1.0, 2.0)).state_dict())


def test_every_shape_runs_from_one_to_the_floor() -> None:
    for shape in SHAPES.values():
        assert (shape(0, 0.1), shape(1, 0.1)) == pytest.approx((1, 0.1), rel=1e-14)


def test_the_bare_base_has_no_curve() -> None:
    with pytest.raises(TypeError, match="abstract"):
        TokenSchedule(adam())  # type: ignore[abstract]
