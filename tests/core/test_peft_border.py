"""The border to peft: what an architecture offers, and loading that accepts no silence."""

from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GPT2ForSequenceClassification, LlamaConfig, LlamaForCausalLM, ViTConfig

from parsimony.core import peft_border
from parsimony.core.errors import ArtifactError, InputError


def test_targets_are_pefts_own_or_every_linear_layer() -> None:
    bert = tiny.bert_config()
    assert peft_border.default_targets(bert) == ["query", "value"]
    assert peft_border.feedforward_targets(bert) == ["output.dense"]
    unknown = ViTConfig()
    unknown.model_type = "made-up"
    assert peft_border.default_targets(unknown) == "all-linear"
    assert peft_border.feedforward_targets(unknown) is None


def test_heads_and_norms_are_found_by_architecture() -> None:
    bert = tiny.bert()
    assert peft_border.head_modules(bert) == ["classifier"]
    assert len(peft_border.norm_modules(bert)) == 1 + 2 * 2
    gpt2 = GPT2ForSequenceClassification(tiny.gpt2().config)
    assert peft_border.head_modules(gpt2) == ["score"]
    assert peft_border.head_modules(tiny.gpt2()) == []
    llama = LlamaForCausalLM(LlamaConfig(
        vocab_size=14, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2,
    ))  # fmt: skip
    assert peft_border.norm_modules(llama) == [
        "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm", "model.norm"
    ]  # fmt: skip


def test_a_norm_without_parameters_is_none() -> None:
    model = nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), nn.LayerNorm(4))
    assert peft_border.norm_modules(model) == ["1"]


def test_linear_layers_have_their_shapes() -> None:
    found = peft_border.linear_modules(tiny.bert(), ["classifier"])
    assert "classifier" not in found
    assert found["bert.encoder.layer.0.intermediate.dense"] == (32, 64)
    assert len(found) == 2 * 6 + 1  # and the pooler
    conv = peft_border.linear_modules(tiny.gpt2(), [])
    assert conv["transformer.h.0.attn.c_attn"] == (32, 96)  # Conv1D keeps (inputs, outputs)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = tiny.lora(tiny.bert())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_comes_back_as_it_was(saved: Path) -> None:
    for trainable in (False, True):
        loaded = peft_border.load_adapter(tiny.bert(), saved, trainable)
        state = peft.get_peft_model_state_dict(loaded)
        stored = load_file(saved / "adapter_model.safetensors")
        assert state.keys() == stored.keys()
        assert all(torch.equal(state[key], stored[key]) for key in stored)
        assert any(p.requires_grad for p in loaded.parameters()) is trainable


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_adapter_is_refused(saved: Path, missing: str) -> None:
    (saved / missing).unlink()
    with pytest.raises(ArtifactError) as caught:
        peft_border.load_adapter(tiny.bert(), saved)
    assert str(caught.value) == (
        f"an adapter folder needs adapter_config.json and its safetensors, but got '{saved}'"
    )


def rewrite(folder: Path, change) -> None:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_a_key_that_the_model_has_no_place_for_is_named(saved: Path) -> None:
    rewrite(saved, lambda t: t.update({"base_model.model.nowhere.lora_A.weight": torch.ones(2, 2)}))
    with pytest.raises(ArtifactError) as caught:
        peft_border.load_adapter(tiny.bert(), saved)
    text = str(caught.value)
    assert "must be used, but 1 are unused, but got 'base_model.model.nowhere.lora_A" in text
    assert text.endswith("Load it on the base model named in its parsimony.json")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_key_that_the_file_lacks_is_named(saved: Path) -> None:
    name = "base_model.model.bert.encoder.layer.1.attention.self.query.lora_A.weight"
    rewrite(saved, lambda t: t.pop(name))
    with pytest.raises(ArtifactError, match=r"but 1 are missing, but got .*query\.lora_A"):
        peft_border.load_adapter(tiny.bert(), saved)


def test_an_adapter_of_another_size_is_refused(saved: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        peft_border.load_adapter(tiny.bert(hidden_size=16), saved)
    assert f"the adapter in {saved} does not fit this model (RuntimeError" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_an_adapter_for_other_layers_is_refused(saved: Path) -> None:
    config = json.loads((saved / "adapter_config.json").read_text())
    config["target_modules"] = ["key"]
    (saved / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="every key of the adapter"):
        peft_border.load_adapter(tiny.bert(), saved)


def test_an_adapter_that_adapts_nothing_trains_the_head_alone() -> None:
    model = peft.get_peft_model(
        tiny.bert(), peft.LoraConfig(task_type="SEQ_CLS", target_modules=peft_border.NO_TARGET)
    )
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained and all("classifier" in name for name in trained)


def test_what_cannot_be_merged_is_refused() -> None:
    peft_border.refuse_unmergeable(tiny.lora(tiny.bert()), "lora")
    prompt = peft.get_peft_model(
        tiny.bert(), peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2)
    )
    for model in (prompt, tiny.bert()):
        with pytest.raises(InputError) as caught:
            peft_border.refuse_unmergeable(model, "prompt")
        assert str(caught.value) == (
            "'prompt' cannot be merged into the base weights. "
            "Load it as an adapter instead; the report shows how"
        )
