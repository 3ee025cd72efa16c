"""Prompts and prefixes among patches: the contract, and each against its formula."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

from parsimony.adapt.methods.patch_prompts import (
    AttentionPrefixConfig,
    DeepPromptConfig,
    PatchTokensConfig,
    PatchTokensLayer,
    ShallowPromptConfig,
)
from parsimony.core import pretrained
from parsimony.core.errors import InputError
from parsimony.testing import tiny, tiny_audio
from parsimony.testing.adapter_contract import AdapterContract, Case

M = 4


class AmongPatches(AdapterContract):
    """Tokens have no factor, and change the outputs from the start."""

    changes_at_start = True
    scales = False

    def settings_for(self, case: Case) -> dict[str, Any]:
        width = case.make()(case.sample)
        width = width if isinstance(width, torch.Tensor) else width[0]
        return {"num_virtual_tokens": M, "width": width.shape[-1]}

    def count(self, case: Case, layer: nn.Module, config: PatchTokensConfig) -> int:
        return M * config.width


class TestShallowPrompt(AmongPatches):
    config = ShallowPromptConfig


class TestDeepPrompt(AmongPatches):
    config = DeepPromptConfig
    test_it_loads_in_a_fresh_process = None  # one module, one import


class TestAttentionPrefix(AmongPatches):
    config = AttentionPrefixConfig
    test_it_loads_in_a_fresh_process = None  # one module, one import


# -- on whole models ------------------------------------------------------------------------------


def vit() -> nn.Module:
    torch.manual_seed(0)
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
            image_size=8, patch_size=4, num_labels=3,
        )
    ).eval()  # fmt: skip


def ast() -> nn.Module:
    torch.manual_seed(0)
    return pretrained.build(tiny_audio.config(num_labels=3), "audio-classification").eval()


MODELS = {"vit": (vit, (2, 3, 8, 8)), "ast": (ast, (2, tiny_audio.FRAMES, tiny_audio.MELS))}
CONFIGS = (ShallowPromptConfig, DeepPromptConfig, AttentionPrefixConfig)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("config", CONFIGS)
def test_a_whole_model_takes_it_and_disabling_gives_the_model_back(
    name: str, config: type[PatchTokensConfig]
) -> None:
    make, shape = MODELS[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    base = make()
    with torch.no_grad():
        before = base(x).logits
        model = peft.get_peft_model(base, config(num_virtual_tokens=M)).eval()
        assert not torch.allclose(model(x).logits, before)
        with model.disable_adapter():
            assert torch.equal(model(x).logits, before)
    model.train()
    model(x, labels=torch.tensor([0, 1])).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters() if p.requires_grad)
    model.add_adapter("other", config(num_virtual_tokens=M))
    model.set_adapter("other")
    places = [n for n, m in model.named_modules() if isinstance(m, PatchTokensLayer)]
    assert not [n for n in places if "base_layer" in n], "a second adapter stands beside the first"
    model.delete_adapter("other")
    model.set_adapter("default")
    width, layers = base.config.hidden_size, base.config.num_hidden_layers
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == M * width * (1 if config is ShallowPromptConfig else layers)


def test_a_shallow_prompt_is_more_patches() -> None:
    """Its output is that of the blocks on the longer sequence, written out."""
    base, x = vit(), torch.randn(2, 3, 8, 8)
    model = peft.get_peft_model(base, ShallowPromptConfig(num_virtual_tokens=M)).eval()
    prompt = model.get_base_model().vit.embeddings.shallow_prompt_tokens["default"]
    with torch.no_grad(), model.disable_adapter():
        inner = model.get_base_model().vit
        h = torch.cat([inner.embeddings(x), prompt.expand(2, -1, -1)], dim=1)
        for block in inner.layers:
            h = block(h)
        expected = model.get_base_model().classifier(inner.layernorm(h)[:, 0])
    with torch.no_grad():
        assert torch.allclose(model(x).logits, expected, atol=1e-6)


def test_deep_prompts_are_fresh_at_every_block() -> None:
    base, x = vit(), torch.randn(2, 3, 8, 8)
    model = peft.get_peft_model(base, DeepPromptConfig(num_virtual_tokens=M)).eval()
    inner = model.get_base_model().vit
    with torch.no_grad():
        found = model(x).logits
        with model.disable_adapter():
            h = inner.embeddings(x)
            tokens = h.shape[1]
            for block in inner.layers:
                prompt = block.deep_prompt_tokens["default"].expand(2, -1, -1)
                h = block(torch.cat([h[:, :tokens], prompt], dim=1))
            expected = model.get_base_model().classifier(inner.layernorm(h)[:, 0])
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_prefix_is_softmax_over_more_keys() -> None:
    """softmax(Q [K; P_k]^T / sqrt(d)) [V; P_v], head by head, in float64."""
    case = AdapterCase()
    layer, x = case.layer, case.x
    base = layer.get_base_layer()
    heads, size = base.num_attention_heads, base.head_dim

    def split(t: torch.Tensor) -> torch.Tensor:
        return t.unflatten(-1, (heads, size)).transpose(1, 2)

    keys = layer.attention_prefix_keys["default"].expand(len(x), -1, -1)
    values = layer.attention_prefix_values["default"].expand(len(x), -1, -1)
    q = split(base.q_proj(x))
    k = split(torch.cat([base.k_proj(x), keys], dim=1))
    v = split(torch.cat([base.v_proj(x), values], dim=1))
    weights = functional.softmax(q @ k.transpose(-1, -2) / size**0.5, dim=-1)
    expected = base.o_proj((weights @ v).transpose(1, 2).flatten(2))
    assert torch.allclose(layer(x)[0], expected, atol=1e-12)


class AdapterCase:
    """One attention with a prefix, in float64."""

    def __init__(self) -> None:
        contract = TestAttentionPrefix()
        case = contract.one()
        model = contract.adapted(case).double()
        self.layer: Any = contract.layers(model)[0]
        self.x = case.sample.double()


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
def test_a_model_without_patches_is_refused(config: type[PatchTokensConfig]) -> None:
    model = pretrained.build(tiny.config("llama"), "causal-lm")
    with pytest.raises(InputError, match=r"need a model that reads patches.*prompt or prefix"):
        peft.get_peft_model(model, config())


BAD: list[tuple[type[PatchTokensConfig], dict[str, Any], str]] = [
    (ShallowPromptConfig, {"num_virtual_tokens": 0}, "at least 1, but got 0"),
    (DeepPromptConfig, {"dropout": 0.1}, "no dropout, but got 0.1"),
    (AttentionPrefixConfig, {"num_virtual_tokens": 25}, "must be even.*25.*Take 26"),
]


@pytest.mark.parametrize(("config", "settings", "text"), BAD)
def test_bad_settings_are_refused(
    config: type[PatchTokensConfig], settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        config(**settings)
