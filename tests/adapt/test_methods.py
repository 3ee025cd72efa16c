"""Every method that is found keeps the contract; methods that break it are seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from torch import nn

from parsimony.adapt.method import Facts, Method, methods
from parsimony.adapt.methods.lora import Lora
from parsimony.core.errors import ParsimonyError
from parsimony.testing.method_contract import Case, MethodContract

for _name, _method in methods().items():
    _class = f"Test{_name.title().replace('-', '')}"
    globals()[_class] = type(_class, (MethodContract,), {"method": _method})


def broken(change: Callable[[nn.Module], object], **attributes: object) -> Method:
    """LoRA whose wrapped model is changed once more."""

    def apply(
        self: Lora,
        model: nn.Module,
        facts: Facts,
        size: int,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> nn.Module:
        wrapped = Lora.apply(self, model, facts, size, dropout, seed)
        change(wrapped)
        return wrapped

    return type("Broken", (Lora,), {"apply": apply, **attributes})()


def contract(method: Method) -> MethodContract:
    return type("Contract", (MethodContract,), {"method": method})()


def add_unused(model: nn.Module) -> None:
    model.register_parameter("idle", nn.Parameter(torch.ones(2)))


def open_embedding(model: nn.Module) -> None:
    model.get_input_embeddings().weight.requires_grad_(True)


def move_start(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.ones_(parameter)


_DRAWS = itertools.count()


def draw_unseeded(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(next(_DRAWS))
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            nn.init.normal_(parameter, generator=generator)


def drift(model: nn.Module) -> None:
    """A base layer that moves with every training step."""

    def move(layer: nn.Module, inputs: object, output: object) -> None:
        layer.bias.data.add_(0.1)

    model.get_submodule("base_model.model.bert.pooler.dense").register_forward_hook(move)


@pytest.mark.parametrize(
    ("change", "check", "error", "text"),
    [
        (add_unused, "test_every_trainable_tensor_gets_a_gradient", ParsimonyError, "idle"),
        (open_embedding, "test_only_its_own_parameters_train", AssertionError, "word_embeddings"),
        (drift, "test_only_its_own_parameters_train", AssertionError, "pooler.dense.bias"),
        (move_start, "test_it_starts_at_the_base_model", AssertionError, "before the first step"),
        (draw_unseeded, "test_the_seed_decides_the_initial_values", AssertionError, "same seed"),
    ],
)
def test_the_contract_sees_a_broken_method(
    change: Callable[[nn.Module], object],
    check: str,
    error: type[Exception],
    text: str,
    tmp_path: Path,
) -> None:
    method = broken(change)
    case = Case(method, "bert-classification", tmp_path)
    more = {"dropout": 0.0} if check.endswith("gradient") else {}
    with pytest.raises(error, match=text):
        getattr(contract(method), check)(case, **more)


def test_the_contract_sees_sizes_that_do_not_ascend(tmp_path: Path) -> None:
    method = broken(lambda model: None, sizes=lambda self, facts: [4, 2])
    case = Case(method, "bert-classification", tmp_path)
    with pytest.raises(AssertionError, match="ascend"):
        contract(method).test_sizes_ascend_and_count_the_same_without_storage(case)


def test_the_contract_sees_a_cost_that_depends_on_storage(tmp_path: Path) -> None:
    def train_more(model: nn.Module) -> None:
        if next(model.parameters()).device.type == "meta":
            open_embedding(model)

    method = broken(train_more)
    case = Case(method, "bert-classification", tmp_path)
    with pytest.raises(AssertionError, match="meta and real"):
        contract(method).test_sizes_ascend_and_count_the_same_without_storage(case)


def test_the_contract_sees_false_flags(tmp_path: Path) -> None:
    stays = broken(lambda model: None, changes_at_start=True)
    case = Case(stays, "bert-classification", tmp_path)
    with pytest.raises(AssertionError, match="changes_at_start is set"):
        contract(stays).test_it_starts_at_the_base_model(case)
    drops = broken(lambda model: None, has_dropout=False)
    case = Case(drops, "bert-classification", tmp_path)
    with pytest.raises(AssertionError, match="has_dropout"):
        contract(drops).test_dropout_acts_where_it_is_said_to(case)
    merges = broken(lambda model: None, mergeable=False)
    case = Case(merges, "bert-classification", tmp_path)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract(merges).test_it_merges_or_says_that_it_cannot(case)


def test_the_contract_sees_a_module_that_is_left_out_when_saving(tmp_path: Path) -> None:
    def train_norms(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name:
                parameter.requires_grad_(True)

    method = broken(train_norms)
    case = Case(method, "bert-classification", tmp_path)
    with pytest.raises(AssertionError, match="other outputs"):
        contract(method).test_a_saved_artifact_loads_bit_for_bit(case)


def test_the_contract_sees_a_method_that_refuses_everything(tmp_path: Path) -> None:
    method = broken(lambda model: None, refusal=lambda self, facts: "no")
    with pytest.raises(AssertionError, match="refuses every"):
        contract(method).test_it_accepts_some_model(tmp_path)


def test_prompts_keep_no_head_when_they_are_not_asked_to(tmp_path: Path) -> None:
    """What a prompt saves on a language model is the prompt alone."""
    case = Case(methods()["prompt"], "llama-language", tmp_path)
    model = case.adapted()
    assert isinstance(model, peft.PeftModel)
    assert list(peft.get_peft_model_state_dict(model)) == ["prompt_embeddings"]
