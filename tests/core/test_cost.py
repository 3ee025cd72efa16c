"""The traced cost of a step against closed forms and against real steps."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from parsimony.core import cost, training


def adamw(parameters) -> torch.optim.Optimizer:
    return training.optimizer_for(list(parameters), training.TrainSettings(1e-3, 1))


def sgd(parameters) -> torch.optim.Optimizer:
    return torch.optim.SGD(list(parameters), lr=0.1)


class Linear(nn.Module):
    """One matrix, squared error against zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=self.linear(x).square().mean())


def linear_cost(batch: int, inputs: int, outputs: int, input_grad: bool = False) -> cost.StepCost:
    return cost.trace_step(
        cost.on_meta(lambda: Linear(inputs, outputs)),
        lambda: {"x": torch.zeros(batch, inputs, requires_grad=input_grad)},
        sgd,
    )


def test_a_linear_model_costs_what_the_closed_form_says() -> None:
    traced = linear_cost(8, 32, 16)
    assert (traced.parameters, traced.trainable) == (32 * 16, 32 * 16)
    assert traced.trainable_bytes == traced.weight_bytes == 4 * 32 * 16
    # Forward and the gradient of the weight; nothing asks for that of the data.
    assert traced.flops == 2 * (2 * 8 * 32 * 16)
    assert linear_cost(8, 32, 16, input_grad=True).flops == 3 * (2 * 8 * 32 * 16)


def test_the_first_of_two_layers_frees_no_work_when_frozen() -> None:
    def build(frozen: int) -> nn.Module:
        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 4))
                self.layers[frozen].requires_grad_(False)

            def forward(self, x: torch.Tensor) -> SimpleNamespace:
                return SimpleNamespace(loss=self.layers(x).square().mean())

        return Two()

    def flops(frozen: int) -> int:
        data = lambda: {"x": torch.zeros(8, 32)}  # noqa: E731
        return cost.trace_step(cost.on_meta(lambda: build(frozen)), data, sgd).flops

    first, second = 2 * 8 * 32 * 16, 2 * 8 * 16 * 4
    assert flops(0) == first + second + second  # forward, gradient of the second weight
    assert flops(1) == first + second + second + first  # through the second, to the first weight


BUILDS = {
    "bert": (tiny.bert, "text-classification"),
    "lora": (lambda: tiny.lora(tiny.bert()), "text-classification"),
    "regression": (lambda: tiny.bert(labels=1, problem_type="regression"), "regression"),
    "gpt2": (tiny.gpt2, "causal-lm"),
}


def traced(name: str, batch: int = 8, optimizer: Callable = adamw) -> cost.StepCost:
    build, task = BUILDS[name]
    inputs = cost.text_batch(tiny.bert_config(), task, batch, 16)
    return cost.trace_step(cost.on_meta(build), inputs, optimizer)


def real_peak(name: str, batch: int = 8) -> int:
    """Peak of the same counter over three steps on real tensors."""
    build, task = BUILDS[name]
    model = build().train()
    inputs = cost.text_batch(model.config, task, batch, 16)()
    stepper = adamw([p for p in model.parameters() if p.requires_grad])
    live = cost._LiveBytes()
    gc.collect()
    with live:
        for tensor in [*model.parameters(), *model.buffers()]:
            live.watch(tensor.data)
        for _ in range(3):
            model(**inputs).loss.backward()
            stepper.step()
            stepper.zero_grad()
    return live.peak


@pytest.mark.parametrize("batch", [2, 16])
@pytest.mark.parametrize("name", BUILDS)
def test_the_peak_is_that_of_real_steps(name: str, batch: int) -> None:
    assert traced(name, batch).peak_bytes == pytest.approx(real_peak(name, batch), rel=0.02)


@pytest.mark.parametrize("name", ["bert", "lora"])
def test_the_peak_is_that_of_torchs_own_allocator(name: str, tmp_path: Path) -> None:
    model = BUILDS[name][0]().train()
    batch = cost.text_batch(model.config, "text-classification", 16, 16)()
    stepper = adamw([p for p in model.parameters() if p.requires_grad])

    def step() -> None:
        model(**batch).loss.backward()
        stepper.step()
        stepper.zero_grad()

    step()
    state = [t for entry in stepper.state.values() for t in entry.values()]
    standing = [*model.parameters(), *model.buffers(), *state, *batch.values()]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    now = peak = sum(t.untyped_storage().nbytes() for t in standing)
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"]):
        now += event["args"]["Bytes"]
        peak = max(peak, now)
    assert traced(name, 16).peak_bytes == pytest.approx(peak, rel=0.02)


def test_parameters_of_a_bert_are_the_closed_form() -> None:
    hidden, wide, words, places = 32, 64, 14, 32
    embeddings = (words + places + 2) * hidden + 2 * hidden
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * wide + wide + hidden + 4 * hidden
    pooler_and_head = hidden * hidden + hidden + 2 * hidden + 2
    total = embeddings + 2 * layer + pooler_and_head
    found = traced("bert")
    assert (found.parameters, found.trainable, found.trainable_bytes) == (total, total, 4 * total)
    adapter = 2 * 2 * (2 * hidden + hidden * 2)  # layers, targets, A and B of rank 2
    head = 2 * hidden + 2
    found = traced("lora")
    assert found.trainable == adapter + head
    assert found.parameters == total + adapter + head  # peft trains a copy of the head


def test_tied_weights_count_once() -> None:
    model = tiny.gpt2()
    assert model.lm_head.weight is model.transformer.wte.weight
    total = sum({p.data_ptr(): p.numel() for p in model.parameters()}.values())
    found = traced("gpt2")
    assert found.parameters == total
    buffers = sum(b.nbytes for b in model.buffers())
    assert found.weight_bytes == 4 * total + buffers


def test_memory_and_work_rise_with_the_batch() -> None:
    costs = [traced("bert", batch) for batch in (1, 2, 4, 8)]
    peaks = [c.peak_bytes for c in costs]
    assert peaks == sorted(set(peaks))
    assert [c.flops for c in costs] == [costs[0].flops * k for k in (1, 2, 4, 8)]
    assert len({c.weight_bytes for c in costs}) == 1


def test_the_optimizers_state_is_counted() -> None:
    found = traced("bert", 1)
    assert found.peak_bytes >= found.weight_bytes + 2 * found.trainable_bytes
    plain = traced("bert", 1, sgd)
    assert found.peak_bytes - plain.peak_bytes >= found.trainable_bytes
    assert found.flops == plain.flops
    assert plain.state_bytes == 0
    assert found.state_bytes == pytest.approx(2 * found.trainable_bytes, rel=0.01)  # two moments


def test_training_less_takes_less() -> None:
    full, few = traced("bert"), traced("lora")
    assert few.trainable < full.trainable
    assert few.peak_bytes < full.peak_bytes
    assert few.flops < full.flops


def test_counting_allocates_no_weight() -> None:
    model = cost.on_meta(lambda: tiny.bert(hidden_size=4096, intermediate_size=16384))
    assert all(p.is_meta for p in model.parameters())
    assert cost.count(model)[0] > 400e6


def test_counts_of_a_frozen_model() -> None:
    model = nn.Linear(3, 2).to(torch.float16)
    model.weight.requires_grad_(False)
    assert cost.count(model) == (8, 2, 4)


@pytest.mark.parametrize(
    ("task", "kind"),
    [("regression", torch.float32), ("text-classification", torch.long), ("causal-lm", torch.long)],
)
def test_a_batch_fills_the_window(task: str, kind: torch.dtype) -> None:
    batch = cost.text_batch(tiny.bert_config(), task, 4, 16)()
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (4, 16)
    assert batch["labels"].dtype == kind
    assert batch["labels"].shape == ((4, 16) if task == "causal-lm" else (4,))
