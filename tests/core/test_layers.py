"""A model's layers: found, trained one by one, damped and put back, and what they keep."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import peft
import pytest
import tiny
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from parsimony.adapt.methods.bottleneck import BottleneckConfig
from parsimony.core import layers
from parsimony.core.errors import InputError

FACTOR = 0.25
QKV = ["q_proj", "k_proj", "v_proj"]


def llama(count: int = 4, **changes: Any) -> LlamaForCausalLM:
    """Random, with LayerNorm scales that are not one."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=count,
            num_attention_heads=2, num_key_value_heads=2, **changes,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def adapted(config: peft.PeftConfig, base: nn.Module | None = None) -> peft.PeftModel:
    """An adapter whose every parameter has moved."""
    model = peft.get_peft_model(llama() if base is None else base, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.eval()


def outputs(model: nn.Module) -> torch.Tensor:
    ids = torch.arange(14).reshape(2, 7)
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).logits
    return found


# -- finding -----------------------------------------------------------------------------------


def test_layers_are_the_longest_list_with_what_trains_in_them() -> None:
    model = tiny.lora(tiny.bert(num_hidden_layers=3))
    found = layers.find(model, trained=True)
    path = "base_model.model.bert.encoder.layer"
    assert [layer.name for layer in found] == [f"{path}.{index}" for index in range(3)]
    named = dict(model.named_parameters())
    for layer in found:
        assert layer.module is model.get_submodule(layer.name)
        trained = {n for n, p in named.items() if p.requires_grad and n.startswith(layer.name)}
        assert set(layer.parameters) == trained
        assert all(layer.parameters[n] is named[n] for n in trained)
    for given in ("encoder.layer", path, ["layer"]):
        assert [layer.name for layer in layers.find(model, given)] == [x.name for x in found]


def test_an_encoder_decoder_has_two_lists_the_encoders_first() -> None:
    config = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2)
    config.num_decoder_layers = 3
    model = T5ForConditionalGeneration(config)
    names = [layer.name for layer in layers.find(model)]
    assert names == [
        *(f"encoder.block.{i}" for i in (0, 1)),
        *(f"decoder.block.{i}" for i in range(3)),
    ]
    only = peft.LoraConfig(target_modules=["q"], layers_to_transform=[1], layers_pattern="block")
    found = layers.find(peft.get_peft_model(model, only), trained=True)
    assert [layer.name.removeprefix("base_model.model.") for layer in found] == [
        "encoder.block.1", "decoder.block.1",
    ]  # fmt: skip


class Block(nn.Module):
    """x + out(tanh(into(x))), with experts that nothing calls."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.out = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.experts = nn.ModuleList(nn.Linear(1, 1) for _ in range(9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        moved: torch.Tensor = self.out(torch.tanh(self.into(x)))
        return x + moved


class Stack(nn.Module):
    """A dense stem, and blocks on it."""

    def __init__(self, count: int = 3, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Linear(width, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(count))
        self.heads = nn.ModuleList([nn.Identity()])
        self.requires_grad_(False)
        for block in self.blocks:
            block.into.requires_grad_(True)
            block.out.requires_grad_(True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


def test_lists_within_a_layer_are_no_layers() -> None:
    assert [layer.name for layer in layers.find(Stack())] == ["blocks.0", "blocks.1", "blocks.2"]


def _frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


def _idle() -> nn.Module:
    model = tiny.lora(tiny.bert())
    model.get_submodule("base_model.model.bert.encoder.layer.1").requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("model", "path", "text"),
    [
        (lambda: nn.Linear(2, 2), None, "must be a list of modules (torch.nn.ModuleList)"),
        (Stack, "block", "a path must name one list of the model's layers"),
        (lambda: nn.ModuleDict({"a": Stack(), "b": Stack()}), "blocks", "'a.blocks', 'b.blocks'"),
        (lambda: _frozen(Stack()), None, "something in the layers must train"),
        (_idle, None, "an optimizer holds what trains then"),
    ],
)
def test_what_cannot_be_found_is_said(
    model: Callable[[], nn.Module], path: str | None, text: str
) -> None:
    with pytest.raises(InputError) as caught:
        layers.find(model(), path, trained=True)
    assert text in str(caught.value)


# -- training ----------------------------------------------------------------------------------


def test_only_the_active_layers_train_and_the_others_have_no_gradient() -> None:
    model = Stack()
    found = layers.find(model, trained=True)
    model(torch.ones(2, 8)).sum().backward()
    layers.train_only(found, {1})
    for index, layer in enumerate(found):
        assert all(p.requires_grad == (index == 1) for p in layer.parameters.values())
        assert all((p.grad is None) == (index != 1) for p in layer.parameters.values())
    assert not any(p.requires_grad for p in model.blocks[1].experts.parameters())


# -- damping -----------------------------------------------------------------------------------


def scaled(name: str, factor: float) -> Callable[[nn.Module, list[str]], None]:
    """Multiply the parameters with ``name`` in theirs."""

    def change(model: nn.Module, damped: list[str]) -> None:
        for path, parameter in model.named_parameters():
            if name in path and any(path.startswith(f"{layer}.") for layer in damped):
                parameter.mul_(factor)

    return change


def towards_one(model: nn.Module, damped: list[str]) -> None:
    """(IA)3: l -> 1 + factor (l - 1)."""
    for path, parameter in model.named_parameters():
        if "ia3_l" in path and any(path.startswith(f"{layer}.") for layer in damped):
            parameter.copy_(1 + FACTOR * (parameter - 1))


def towards_original(model: nn.Module, damped: list[str]) -> None:
    """Tuned norms: from the original to the tuned value."""
    for path in damped:
        for module in model.get_submodule(path).modules():
            if hasattr(module, "ln_tuning_layers"):
                tuned = module.ln_tuning_layers["default"].weight
                tuned.copy_(torch.lerp(module.base_layer.weight, tuned, FACTOR))


def _bottleneck() -> peft.PeftConfig:
    return BottleneckConfig(placement="houlsby", width=3)


LORA = {"r": 2, "target_modules": QKV}
PER_LAYER = {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"layers.1.self_attn.k_proj": 7}}
KINDS: dict[str, tuple[Callable[[], peft.PeftConfig], Any]] = {
    "lora": (lambda: peft.LoraConfig(**LORA, **PER_LAYER), "lora_B"),
    "rslora": (lambda: peft.LoraConfig(**LORA, use_rslora=True), "lora_B"),
    "dora": (lambda: peft.LoraConfig(**LORA, use_dora=True, **PER_LAYER), "lora_B"),
    "ia3": (
        lambda: peft.IA3Config(
            target_modules=["v_proj", "down_proj"], feedforward_modules=["down_proj"]
        ),
        towards_one,
    ),
    "norms": (lambda: peft.LNTuningConfig(task_type="CAUSAL_LM"), towards_original),
    "bottleneck": (_bottleneck, ".up."),
}


@pytest.mark.parametrize("kind", KINDS)
def test_damping_scales_what_the_adapter_changes(kind: str) -> None:
    config, change = KINDS[kind]
    model = adapted(config())
    found = layers.find(model, "layers")
    before = outputs(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        change = scaled(change, FACTOR) if isinstance(change, str) else change
        change(twin, [found[index].name for index in (1, 2)])
    expected = outputs(twin)
    assert (expected - before).abs().max() > 1e-2
    with layers.damped([found[1], found[2]], FACTOR):
        torch.testing.assert_close(outputs(model), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(outputs(model), before)


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_everything_is_put_back_after_an_exception(kind: str) -> None:
    model = adapted(KINDS[kind][0]())

    def state() -> list[Any]:
        return [
            (copy.copy(module.__dict__.get("scaling")), len(module._forward_hooks))
            for module in model.modules()
        ]

    before, expected = state(), outputs(model)
    with pytest.raises(ZeroDivisionError), layers.damped(layers.find(model, "layers"), 0.3):
        assert state() != before
        raise ZeroDivisionError
    assert state() == before
    assert torch.equal(outputs(model), expected)


def test_without_its_adapters_a_damped_model_is_the_base() -> None:
    model = adapted(KINDS["dora"][0]())
    base = llama().eval()
    with layers.damped(layers.find(model, "layers"), 0.0):
        # DoRA keeps its own norms, so only its direction is the base's.
        assert not torch.equal(outputs(model), outputs(base))
    model = adapted(KINDS["bottleneck"][0]())
    with layers.damped(layers.find(model, "layers"), 0.0):
        assert torch.equal(outputs(model), outputs(base))


def test_weights_of_the_model_itself_cannot_be_damped() -> None:
    model = adapted(KINDS["lora"][0]())
    model.get_submodule("base_model.model.model.layers.2.mlp.up_proj").requires_grad_(True)
    with pytest.raises(InputError) as caught:
        layers.check_adapters(layers.find(model, "layers"))
    assert "only adapters can be damped" in str(caught.value)
    assert "model.layers.2.mlp.up_proj.weight" in str(caught.value)


# -- memory ------------------------------------------------------------------------------------

SUBSETS = [set(chosen) for size in range(4) for chosen in itertools.combinations(range(3), size)]


@pytest.mark.parametrize("stem", [False, True])
def test_saved_bytes_follow_the_graph(stem: bool) -> None:
    """A block that trains keeps its input and its tanh, a frozen one over another its tanh."""
    unit = 5 * 8 * 4
    model = Stack()
    model.stem.requires_grad_(stem)
    found = layers.find(model, trained=True)
    x = {"x": torch.randn(5, 8)}
    saved = layers.saved_by_layer(model, x, found)
    assert saved.trained == (2 * unit,) * 3
    assert saved.frozen == (unit if stem else 0, unit, unit)
    assert saved.below == (unit if stem else 0,) * 3
    assert saved.rest == (unit if stem else 0)
    for active in SUBSETS:
        layers.train_only(found, active)
        assert saved.of(active) == layers.saved_bytes(model, x), active


def test_saved_bytes_of_a_transformer_are_bounded_from_above_by_a_few_percent() -> None:
    model = peft.get_peft_model(llama(), peft.LoraConfig(r=4, target_modules=QKV)).train()
    found = layers.find(model, trained=True)
    ids = torch.arange(32).reshape(2, 16)
    batch = {"input_ids": ids, "labels": ids}
    state = torch.get_rng_state()
    saved = layers.saved_by_layer(model, batch, found)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.requires_grad for layer in found for p in layer.parameters.values())
    assert saved.of(range(4)) == layers.saved_bytes(model, batch)
    for active in ({3}, {0, 1}, {1, 3}, {2}):
        layers.train_only(found, active)
        real = layers.saved_bytes(model, batch)
        assert real <= saved.of(active) <= 1.08 * real, active
