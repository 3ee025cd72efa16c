"""Bases in fewer bits, checkpointing, accumulation: what they cost, and that they train."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from parsimony.adapt import solve
from parsimony.adapt.method import methods
from parsimony.adapt.setup import Setup
from parsimony.core import cost, precision, training
from parsimony.core.budget import Budget
from parsimony.core.errors import BudgetError
from parsimony.core.events import read_events
from parsimony.core.thrift import BASES, PLAIN, Allowed, Thrift, allowed
from parsimony.testing import tiny

ALL = allowed("auto", None, None, 4)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tiny.write(tmp_path_factory.mktemp("thrift") / "llama", "llama")
    return tiny.setup(folder, "causal-lm", window=16)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tiny.write(tmp_path_factory.mktemp("thrift") / "bert")
    return tiny.setup(folder, "text-classification", ("a", "b", "c"), window=16)


def real_step(setup: Setup, name: str, size: int, thrift: Thrift) -> tuple[Any, int, int]:
    """(counts, bytes of weights, peak bytes) of real steps, by the counter of the traced ones."""
    model = setup.adapted(name, size, 0.0, 0, thrift.base).train()
    if thrift.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trained = [p for p in model.parameters() if p.requires_grad]
    stepper = training.optimizer_for(trained, training.TrainSettings(1e-3, 1))
    batch = setup.example(thrift.accumulation)()
    live = cost._LiveBytes()
    gc.collect()
    with live:
        for tensor in [*model.parameters(), *model.buffers(), *scales(model)]:
            live.watch(tensor.data)
        weights = live.now
        for _ in range(2):
            for _ in range(min(2, thrift.accumulation)):
                model(**batch).loss.backward()
            stepper.step()
            stepper.zero_grad()
    return cost.count(model), weights, live.peak


def scales(model: torch.nn.Module) -> list[torch.Tensor]:
    """What bitsandbytes keeps beside the codes."""
    found = []
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            outer = state.state2
            found += [state.absmax, state.code, state.offset, outer.absmax, outer.code]
        if getattr(getattr(module, "state", None), "SCB", None) is not None:
            found.append(module.state.SCB)
    return found


SAVINGS = [Thrift(base) for base in BASES[1:]] + [
    Thrift("fp32", True), Thrift("fp32", False, 2), Thrift("4bit", True, 4),
]  # fmt: skip


@pytest.mark.parametrize("thrift", SAVINGS, ids=str)
def test_what_is_saved_is_predicted(setup: Setup, thrift: Thrift) -> None:
    traced, _ = solve.step_cost(setup, "lora", 4, thrift)
    counts, weights, peak = real_step(setup, "lora", 4, thrift)
    assert (traced.parameters, traced.trainable, traced.trainable_bytes) == counts
    assert traced.weight_bytes == weights
    # bitsandbytes' 8-bit layers make a few small tensors that do not grow with the model.
    assert traced.peak_bytes == pytest.approx(peak, rel=0.06 if thrift.base == "8bit" else 0.03)
    assert traced.peak_bytes < solve.step_cost(setup, "lora", 4)[0].peak_bytes


@pytest.mark.parametrize("base", BASES[1:])
@pytest.mark.parametrize(
    "name", ["lora", "bias", "ln-tuning", "prompt", "compacter", "linear-probe"]
)
def test_a_head_and_every_kind_of_adapter_train_in_float32(
    classifier: Setup, name: str, base: str
) -> None:
    size = solve.sizes(solve.method(name), classifier)[0]
    if refused := solve.base_refusal(classifier, name, size, base):
        assert name in ("bias", "ln-tuning"), refused
        return
    model = classifier.adapted(name, size, 0.0, 0, base)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    model(**classifier.example()()).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize("base", BASES[1:])
@pytest.mark.parametrize("name", methods())
def test_a_language_model_takes_every_method_on_every_base(
    setup: Setup, name: str, base: str
) -> None:
    # Its output layer is frozen, in bfloat16, behind whatever the adapter hands on.
    if refused := solve.refusal(solve.method(name), setup):
        pytest.skip(refused)
    size = solve.sizes(solve.method(name), setup)[0]
    if refused := solve.base_refusal(setup, name, size, base):
        pytest.skip(refused)
    model = setup.adapted(name, size, 0.0, 0, base).train()
    loss = model(**setup.example()()).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_what_trains_the_base_itself_is_refused(setup: Setup, classifier: Setup) -> None:
    coarse = "it trains weights of the base itself, which a 4bit base stores too coarsely"
    assert solve.base_refusal(setup, "full", 0, "4bit") == coarse
    assert "full" not in solve.solve(classifier, Budget(), ["full", "lora"], lambda _: 0.0,
                                     Allowed(("bf16",)))[0]  # fmt: skip
    with pytest.raises(BudgetError) as error:
        solve.solve(setup, Budget(memory=1.0), ["full"], lambda _: 0.0, ALL)
    assert "checkpointing" not in error.value.nearest


def test_codes_stand_for_the_weights(setup: Setup) -> None:
    plain: Any = setup.base(0)
    before = {name: p.detach().clone() for name, p in plain.named_parameters()}
    # Half the widest gap of nf4 is 0.152 of a block's largest value; bfloat16 adds its own.
    for base, off in (("bf16", 2**-8), ("8bit", 0.02), ("4bit", 0.16)):
        reduced: Any = setup.base(0, base)
        coded = [n for n, p in reduced.named_parameters() if not p.is_floating_point()]
        assert len(coded) == {"bf16": 0, "8bit": 28, "4bit": 4}[base]  # 4: only with 64 inputs
        wide = precision.widened(reduced, setup.base(0))  # type: ignore[arg-type]
        for name, value in wide.named_parameters():
            assert value.dtype == torch.float32
            assert (value - before[name]).abs().max() <= off * before[name].abs().max(), name


def solved(setup: Setup, memory: float | None, open_: Allowed = ALL) -> Thrift:
    budget = Budget(memory=memory, trainable=0.02)  # ranks 1 and 2: each takes a while to trace
    options, _ = solve.solve(setup, budget, ["lora"], lambda _: 0.0, open_)
    return options["lora"].thrift


def test_a_method_saves_no_more_than_the_budget_asks(setup: Setup) -> None:
    def smallest(thrift: Thrift) -> int:
        return solve.step_cost(setup, "lora", 1, thrift)[0].peak_bytes

    assert solved(setup, None) == PLAIN
    assert solved(setup, smallest(PLAIN)) == PLAIN
    assert solved(setup, smallest(PLAIN) - 1) == Thrift("fp32", False, 2)
    assert solved(setup, smallest(Thrift("fp32", False, 4)) - 1).checkpointing
    assert solved(setup, smallest(Thrift("fp32", True, 4)) - 1).base == "bf16"
    assert solved(setup, smallest(Thrift("bf16", True, 4)) - 1).base == "8bit"
    assert solved(setup, None, Allowed(("4bit",), (True,), (4,))) == Thrift("4bit", True, 4)


def test_prefixes_are_not_lost_to_checkpointing(setup: Setup) -> None:
    open_ = Allowed(("fp32",), (True,), (1,))
    with pytest.raises(Exception, match="checkpointing would drop its keys and values"):
        solve.solve(setup, Budget(), ["prefix"], lambda _: 0.0, open_)


def trained(setup: Setup, thrift: Thrift, folder: Path, *stops: int) -> dict[str, torch.Tensor]:
    rows = [{"input_ids": torch.arange(3 + k, 15 + k), "attention_mask": torch.ones(12)}
            for k in range(12)]  # fmt: skip

    def collate(part: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = {key: torch.stack([row[key] for row in part]) for key in part[0]}
        return {**batch, "labels": batch["input_ids"].clone()}

    settings = training.TrainSettings(
        1e-2, 6, batch_size=4, checkpointing=thrift.checkpointing, accumulation=thrift.accumulation
    )
    for stop in stops:
        model = setup.adapted("lora", 2, 0.1, 0, thrift.base)
        training.train(model, rows, collate, settings, folder, stop_after=stop)
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def test_a_stopped_training_on_codes_ends_in_the_same_bits(setup: Setup, tmp_path: Path) -> None:
    thrift = Thrift("4bit", True, 2)
    whole = trained(setup, thrift, tmp_path / "whole", 6)
    again = trained(setup, thrift, tmp_path / "again", 3, 6)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    before, after = ((tmp_path / name / "events.jsonl").read_bytes() for name in ("whole", "again"))
    assert before == after


def test_parts_and_checkpoints_change_no_result(setup: Setup, tmp_path: Path) -> None:
    def loss(thrift: Thrift, name: str) -> list[float]:
        folder = tmp_path / name
        trained(setup, thrift, folder, 2)
        return [event["loss"] for event in read_events(folder / "events.jsonl")]

    plain = loss(PLAIN, "plain")
    # Dropout draws once per part; the first loss is of a LoRA that does nothing yet.
    assert loss(Thrift("fp32", False, 4), "parts")[0] == pytest.approx(plain[0], rel=1e-5)
    assert loss(Thrift("fp32", True), "checkpoints") == plain
