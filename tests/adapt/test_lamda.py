"""LaMDA: the start, the schedule of freezing, what it keeps for backward, ranks by spectrum."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from transformers import Trainer, TrainingArguments

from parsimony.adapt.methods.lamda import (
    GradualFreezing,
    LamdaConfig,
    allocate_ranks,
    frozen_columns,
)
from parsimony.core.errors import InputError
from parsimony.core.layers import saved_bytes
from parsimony.testing.adapter_contract import AdapterContract, Case

warnings.filterwarnings("ignore", message="r=.* r x r is no longer small")


class TestTuner(AdapterContract):
    config = LamdaConfig
    settings: ClassVar = {"r": 3}

    def count(self, case: Case, layer: nn.Module, config: Any) -> int:
        return config.r * config.r + layer.shape[0] * config.r


class TestAuthorsStart(AdapterContract):
    config = LamdaConfig
    settings: ClassVar = {"r": 3, "init": "lora"}


class Regression(nn.Module):
    """One dense layer on the way to a squared error; rows carry ``x`` and ``y``."""

    def __init__(self, width: int = 32, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(width, width, bias=bias)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.layer(x)
        return {"loss": functional.mse_loss(found, y), "logits": found}


def adapted(**given: Any) -> peft.PeftModel:
    return peft.get_peft_model(Regression(), LamdaConfig(target_modules=["layer"], **given))


def rows(count: int = 8) -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [{k: torch.randn(32, generator=random) for k in ("x", "y")} for _ in range(count)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lda_init", ["singular", "identity"])
@pytest.mark.parametrize("iterations", [None, 2])
def test_the_spectral_start_is_the_base_layer_to_the_last_bits(
    dtype: torch.dtype, lda_init: str, iterations: int | None
) -> None:
    layer = nn.Linear(48, 40).to(dtype)
    config = LamdaConfig(r=8, lda_init=lda_init, svd_iterations=iterations, target_modules=["0"])
    x = torch.randn(16, 48, dtype=dtype)
    expected = layer(x)
    found = peft.get_peft_model(nn.Sequential(layer), config)(x)
    # B S = W A^T is computed from the A that is stored, so a rounded A costs nothing.
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_the_factors_are_those_of_the_singular_value_decomposition() -> None:
    model = adapted(r=4)
    layer = model.base_model.model.layer
    weight = layer.base_layer.weight.detach().double()
    values = torch.linalg.svdvals(weight)[:4]
    a, s, b = (getattr(layer, f"lamda_{name}")["default"].detach().double() for name in "ASB")
    eye = torch.eye(4, dtype=torch.float64)
    assert torch.allclose(a @ a.T, eye, atol=1e-5) and torch.allclose(b.T @ b, eye, atol=1e-5)
    assert torch.allclose(s, torch.diag(values), atol=1e-5)
    best = torch.linalg.svd(weight - b @ s @ a)[1][0]  # Eckart-Young: what is left starts there
    assert torch.isclose(best, torch.linalg.svdvals(weight)[4], atol=1e-5)


def test_the_layer_is_the_residual_form_of_the_paper() -> None:
    model = adapted(r=4).double()
    layer = model.base_model.model.layer
    a, s, b = (getattr(layer, f"lamda_{name}")["default"] for name in "ASB")
    weight = layer.base_layer.weight
    residual = weight - b.detach() @ s.detach() @ a  # W_res = W - B S A of the start
    with torch.no_grad():
        s.add_(torch.randn_like(s))
        b.add_(torch.randn_like(b))
    x = torch.randn(5, 32, dtype=torch.float64)
    expected = functional.linear(x, residual + b @ s @ a, layer.base_layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-6)  # P was made in float32


@pytest.mark.parametrize(
    ("step", "frozen"),
    [(0, 0), (75, 8), (150, 16), (225, 24), (299, 31), (300, 32), (1000, 32)],
)
def test_the_schedule_of_the_paper(step: int, frozen: int) -> None:
    assert frozen_columns(step, total=1000, freeze=0.3, r=32) == frozen


def test_without_a_share_all_is_frozen_from_the_start() -> None:
    assert frozen_columns(0, total=10, freeze=0.0, r=4) == 4


class Record(GradualFreezing):
    """Keeps B, and what the optimizer holds of it, after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self.held: list[bool] = []

    def on_step_end(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
        b = self._layers[0].lamda_B["default"]
        self.seen.append(b.detach().clone())
        self.held.append(b in optimizer.state)


def train(model: nn.Module, folder: Path, steps: int = 20, **more: Any) -> Record:
    watch = Record()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1
    )
    resume = more.pop("resume", None)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, use_cpu=True, report_to=[], disable_tqdm=True,
        remove_unused_columns=False, per_device_train_batch_size=2, save_steps=5,
        restore_callback_states_from_checkpoint=True, **more,
    )  # fmt: skip
    Trainer(
        model=model,
        args=arguments,
        train_dataset=rows(),
        optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)),
        callbacks=[watch],
    ).train(resume_from_checkpoint=resume)
    return watch


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_frozen_column_keeps_its_bits_under_decay_and_momentum(
    tmp_path: Path, accumulate: int
) -> None:
    model = adapted(r=4, freeze=0.5)
    watch = train(model, tmp_path, gradient_accumulation_steps=accumulate)
    for done in range(1, 20):
        before, after = watch.seen[done - 1], watch.seen[done]
        frozen = frozen_columns(done, 20, 0.5, 4)
        assert torch.equal(before[:, :frozen], after[:, :frozen])
        assert bool((before[:, frozen:] != after[:, frozen:]).any()) == (frozen < 4)
    assert watch.held[:10] == [True] * 10 and watch.held[10:] == [False] * 10
    b = model.base_model.model.layer.lamda_B["default"]
    assert not b.requires_grad and b.grad is None


def test_a_resumed_training_ends_in_the_same_bytes(tmp_path: Path) -> None:
    def end(model: nn.Module) -> dict[str, torch.Tensor]:
        return peft.get_peft_model_state_dict(model)

    whole = adapted(r=4, freeze=0.5)
    train(whole, tmp_path / "whole")
    for step in (5, 15):  # while columns are being frozen, and after
        again = adapted(r=4, freeze=0.5)
        train(again, tmp_path / "again", resume=str(tmp_path / f"whole/checkpoint-{step}"))
        for key, value in end(whole).items():
            assert torch.equal(value, end(again)[key]), key


def test_another_total_is_told_on_resuming(tmp_path: Path) -> None:
    train(adapted(r=4), tmp_path, steps=10)
    with pytest.warns(UserWarning, match=r"frozen by step \[3\.0\], now by \[6\.0\]"):
        train(adapted(r=4), tmp_path, steps=20, resume=str(tmp_path / "checkpoint-10"))


def test_backward_keeps_what_the_paper_says() -> None:
    """Bytes per token of one 1024-wide layer at r = 32: A x and S A x, then A x alone."""
    layer = nn.Sequential(nn.Linear(1024, 1024, bias=False))
    lora = peft.get_peft_model(layer, peft.LoraConfig(r=32, target_modules=["0"]))
    assert saved_bytes(lora, {"input": torch.randn(8, 1024)}) == 8 * 4224
    layer = nn.Sequential(nn.Linear(1024, 1024, bias=False))
    config = LamdaConfig(r=32, init="lora", target_modules=["0"])
    lamda = peft.get_peft_model(layer, config)
    assert saved_bytes(lamda, {"input": torch.randn(8, 1024)}) == 8 * 256
    lamda.base_model.model[0].lamda_B["default"].requires_grad_(False)
    assert saved_bytes(lamda, {"input": torch.randn(8, 1024)}) == 8 * 128


def test_a_layer_may_have_a_rank_of_its_own() -> None:
    net = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)})
    config = LamdaConfig(r=2, rank_pattern={"b": 4}, target_modules=["a", "b"])
    tuner = peft.get_peft_model(net, config)
    assert [tuner.base_model.model[k].lamda_S["default"].shape[0] for k in "ab"] == [2, 4]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(mean=st.integers(8, 24), seeds=st.lists(st.integers(0, 99), min_size=2, max_size=5))
def test_ranks_keep_to_the_budget_and_leave_less_than_a_step(mean: int, seeds: list[int]) -> None:
    weights = {}
    for number, seed in enumerate(seeds):
        torch.manual_seed(seed)
        decay = torch.arange(1, 33, dtype=torch.float32) ** -(number / 2)
        weights[f"layer{number}"] = torch.randn(48, 32) * decay
    table = allocate_ranks(weights, mean)
    left = mean * len(weights) - table["rank"].sum()
    assert 0 <= left < 8 or (table["rank"] == 32).all()
    assert table["rank"].between(8, 32).all()


def test_flatter_spectra_get_more() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(64, 64))[0]
    places = torch.arange(1, 65, dtype=torch.float32)
    weights = {f"decay {p}": basis * places**-p @ basis.T for p in (0.0, 0.5, 1.0, 2.0)}
    table = allocate_ranks(weights, 24)
    assert table["rank"].is_monotonic_decreasing and table["rank"].nunique() > 2
    shares = [w.svd().S.square() for w in weights.values()]
    for row, share in zip(table.itertuples(), shares, strict=True):
        expected = share[: row.rank].sum() / share.sum()
        assert row.energy == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"r": 33}, r"the rank of layer must be 1 to 32, the smaller side of its weight, but got"),
        ({"r": 0}, r"the rank of layer must be 1 to 32"),
        ({"freeze": 1.5}, r"share of the steps that B trains, 0 to 1, but got 1\.5"),
        ({"init": "spectrum"}, r"init must be spectral or lora, but got 'spectrum'.*spectral"),
        ({"lda_init": "ones"}, r"lda_init must be singular or identity, but got 'ones'"),
    ],
)
def test_what_it_refuses(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        adapted(**given)


def test_a_weight_that_is_not_finite_is_named() -> None:
    net = Regression()
    net.layer.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match="the weight of layer must be finite"):
        peft.get_peft_model(net, LamdaConfig(r=2, target_modules=["layer"]))
    with pytest.raises(InputError, match="the weight of q must be finite"):
        allocate_ranks({"q": net.layer.weight.detach()}, 8)


def test_a_large_rank_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"r=16 on layer: r x r is no longer small"):
        adapted(r=16)


def test_freezing_needs_a_lamda_model() -> None:
    with pytest.raises(InputError, match="needs a model with LaMDA layers, but got 'Linear'"):
        GradualFreezing().on_train_begin(None, None, None, model=nn.Linear(2, 2))


def test_a_budget_below_the_least_rank_is_refused() -> None:
    with pytest.raises(InputError, match=r"at least the least rank, but got 4.*least=8"):
        allocate_ranks({"q": torch.eye(16)}, 4)
