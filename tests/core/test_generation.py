"""What a model writes, against the loop that reads everything again for every token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from parsimony.adapt.method import methods
from parsimony.core import pretrained
from parsimony.core.errors import InputError
from parsimony.core.generation import Sampling, answers
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


def base_of(folder: Path, scale: float = 1.0) -> Any:
    """A model whose own settings would end a text, and draw from few tokens."""
    model = pretrained.load(tiny.setup(folder, "causal-lm").model, "causal-lm")
    model.get_output_embeddings().weight.data *= scale
    model.generation_config = transformers.GenerationConfig(
        do_sample=True, top_p=0.01, temperature=0.1, repetition_penalty=3.0, eos_token_id=END
    )
    return model


def test_draws_follow_from_the_seed(folder: Path) -> None:
    model = base_of(folder)
    once, again, other = (
        answers(model, PROMPTS, tokens=TOKENS, stops=[], sampling=Sampling(1.0, seed=seed))
        for seed in (3, 3, 4)
    )
    assert once == again != other


@pytest.mark.parametrize(
    "sampling", [Sampling(0), Sampling(0, 5, seed=1), Sampling(1.2, 1), Sampling(0.3, 1, seed=2)]
)
def test_one_token_to_draw_from_is_the_likeliest(folder: Path, sampling: Sampling) -> None:
    model = base_of(folder)
    expected = [written(model, prompt, []) for prompt in PROMPTS]
    assert answers(model, PROMPTS, tokens=TOKENS, stops=[], sampling=sampling) == expected
    ids = torch.tensor([PROMPTS[0]])
    theirs = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=True,
        top_k=1, top_p=1.0, temperature=1.2, repetition_penalty=1.0, eos_token_id=-1,
    )  # fmt: skip
    assert theirs[0, len(PROMPTS[0]) :].tolist() == expected[0], "transformers' own sampler"


@pytest.mark.parametrize(("temperature", "top_k"), [(0.7, None), (1.5, None), (1.0, 4)])
def test_tokens_are_drawn_as_often_as_their_probability(
    folder: Path, temperature: float, top_k: int | None
) -> None:
    model, prompt, count = base_of(folder, scale=6), PROMPTS[1], 4000
    logits = model(input_ids=torch.tensor([prompt])).logits[0, -1].detach() / temperature
    if top_k is not None:
        logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
    found = answers(
        model, [prompt] * count, tokens=1, stops=[], batch=count,
        sampling=Sampling(temperature, top_k),
    )  # fmt: skip
    seen = torch.bincount(torch.tensor(found)[:, 0], minlength=len(logits)) / count
    wanted = logits.softmax(-1)
    error = (wanted * (1 - wanted) / count).sqrt()
    assert (seen - wanted).abs().le(5 * error + 1e-3).all()
    assert not seen[wanted == 0].any()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((-0.1,), "a temperature must be finite and not negative, but got -0.1. 0 takes the"),
        ((float("nan"),), "a temperature must be finite and not negative"),
        ((1.0, 0), "top-k must leave at least one token, but got 0"),
    ],
)
def test_sampling_that_there_is_not(values: tuple[Any, ...], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Sampling(*values)
