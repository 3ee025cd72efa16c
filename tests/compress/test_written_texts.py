"""What is counted in written texts, against closed forms and a loop in float64."""

from __future__ import annotations

import math

import pytest
import torch
from compressed import model

from parsimony.compress.generation_study.texts import distinct, nats_per_token, repetition
from parsimony.compress.quantizing import form_of, quantize
from parsimony.core.errors import InputError


@pytest.mark.parametrize(
    ("tokens", "n", "share"),
    [
        ([1, 2, 3, 4], 1, 1.0),
        ([1, 1, 1, 1], 1, 0.25),
        ([1, 1, 1, 1], 2, 1 / 3),
        ([1, 2, 1, 2, 1], 2, 0.5),
        ([1, 2, 1, 2, 1], 3, 2 / 3),
        ([1, 2], 3, 1.0),
        ([], 1, 1.0),
    ],
)
def test_distinct_is_the_share_of_different_runs(tokens: list[int], n: int, share: float) -> None:
    assert distinct(tokens, n) == pytest.approx(share)


@pytest.mark.parametrize("period", [1, 3, 5])
def test_a_loop_repeats_all_but_its_first_round(period: int) -> None:
    text = [i % period for i in range(23)]
    assert repetition(text) == pytest.approx(1 - period / (23 - 4 + 1))
    assert repetition(text[:3]) == 0


def test_nats_are_those_of_each_text_alone() -> None:
    judge = model("llama")
    prompts, texts = [[5, 6, 7], [9, 8, 40, 41], [3]], [[10, 11], [12], [13, 14, 15, 16]]
    found = nats_per_token(judge, prompts, texts, batch=2)
    for prompt, text, nats in zip(prompts, texts, found, strict=True):
        ids = torch.tensor([[*prompt, *text]])
        with torch.no_grad():
            logs = judge(input_ids=ids).logits.double().log_softmax(-1)[0]
        begin = len(prompt) - 1
        wanted = [-logs[begin + n, token].item() for n, token in enumerate(text)]
        assert nats == pytest.approx(sum(wanted) / len(wanted), abs=1e-5)


def test_a_judge_that_knows_nothing_needs_the_logarithm_of_the_vocabulary() -> None:
    judge = model("gpt2")
    with torch.no_grad():
        judge.transformer.ln_f.weight.zero_()
        judge.transformer.ln_f.bias.zero_()
    found = nats_per_token(judge, [[5, 6]], [[7, 8, 9]])
    assert found == pytest.approx([math.log(judge.config.vocab_size)], rel=1e-6)


def test_a_quantized_judge_is_refused() -> None:
    judge = model("llama")
    assert form_of(judge) is None
    quantize(judge, "nf4")
    assert form_of(judge) == "nf4"
    with pytest.raises(InputError, match=r"judged by a model that is not quantized.*'nf4'. Give"):
        nats_per_token(judge, [[5]], [[6]])
