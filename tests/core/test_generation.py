"""What a model writes, against the loop that reads everything again for every token."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from parsimony.adapt.method import methods
from parsimony.core import pretrained
from parsimony.core.generation import answers
from parsimony.testing import tiny

PROMPTS = [[5, 6, 7], [9, 8, 40, 41, 42, 43, 44], [100, 30], [12, 13, 14]]
TOKENS = 8
END = 2


def written(model: nn.Module, prompt: list[int], stops: list[int]) -> list[int]:
    """Without a cache and without padding."""
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + TOKENS:
            read = torch.tensor([ids])
            logits = model(input_ids=read, attention_mask=torch.ones_like(read)).logits
            ids.append(int(logits[0, -1].argmax()))
            if ids[-1] in stops:
                return ids[len(prompt) : -1]
    return ids[len(prompt) :]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("writer") / request.param, request.param)


def model_of(folder: Path, name: str) -> nn.Module:
    """A method whose parameters are far from their start."""
    setup = tiny.setup(folder, "causal-lm")
    base = pretrained.load(setup.model, "causal-lm")
    made = methods()[name].apply(base, setup.facts, 4)
    torch.manual_seed(0)
    for parameter in made.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.mark.parametrize("name", ["lora", "ia3", "prompt", "prefix", "full"])
def test_batches_write_what_single_prompts_do(folder: Path, name: str) -> None:
    model = model_of(folder, name)
    expected = [written(model, prompt, [END]) for prompt in PROMPTS]
    for batch in (1, 2, 4):
        assert answers(model, PROMPTS, tokens=TOKENS, stops=[END], batch=batch) == expected


def test_it_stops_at_any_of_the_marks_and_leaves_it_out(folder: Path) -> None:
    model = model_of(folder, "lora")
    whole = answers(model, PROMPTS, tokens=TOKENS, stops=[])
    assert [len(ids) for ids in whole] == [TOKENS] * len(PROMPTS)
    mark = whole[0][1]
    cut = answers(model, PROMPTS, tokens=TOKENS, stops=[mark])
    assert cut == [ids[: ids.index(mark)] if mark in ids else ids for ids in whole]
    assert len(cut[0]) <= 1


def test_the_model_is_left_as_it_was(folder: Path) -> None:
    model = model_of(folder, "lora").train()
    state = torch.random.get_rng_state()
    answers(model, PROMPTS[:1], tokens=2, stops=[END])
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    assert answers(model, [], tokens=2, stops=[END]) == []
