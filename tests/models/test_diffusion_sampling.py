"""What a sampler commits, when, and by which rule."""

from __future__ import annotations

from typing import Any

import diffusion_toys as toys
import pytest
import torch
from diffusion_toys import MASK, VOCABULARY, Toy
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.models.masked_diffusion import (
    MaskedDiffusionConfig,
    MaskedDiffusionLM,
    Sampling,
    sample,
    transfer_schedule,
)

PROMPT = torch.tensor([[1, 2]])


def hidden(toy: Toy) -> list[list[int]]:
    """Masked places of the first text, at every pass."""
    return [torch.nonzero(shown[0] == MASK)[:, 0].tolist() for shown in toy.shown]


def by_place(texts: torch.Tensor) -> torch.Tensor:
    """Token (place mod 6), with more confidence at later places."""
    place = torch.arange(texts.shape[1]).expand_as(texts)
    return toys.favours(place % 6, 1.0 + place)


def test_the_schedule_of_the_paper() -> None:
    assert transfer_schedule(10, 4) == [3, 3, 2, 2]
    assert transfer_schedule(4, 4) == [1, 1, 1, 1]


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_schedule_keeps_all_and_falls_by_at_most_one(masked: int, steps: int) -> None:
    found = transfer_schedule(masked, steps)
    assert len(found) == steps and sum(found) == masked
    assert found == sorted(found, reverse=True) and found[0] - found[-1] <= 1


@pytest.mark.parametrize("remasking", ["low_confidence", "random"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_each_step_keeps_exactly_what_was_planned(remasking: str, temperature: float) -> None:
    toy = Toy(by_place)
    found = sample(toy, PROMPT.repeat(3, 1),
                   Sampling(20, 10, 8, temperature, remasking))  # fmt: skip
    assert [len(places) for places in hidden(toy)] == [20, 17, 14, 12, 10, 7, 4, 2]
    for shown in toy.shown:
        assert len(set((shown == MASK).sum(1).tolist())) == 1
    for before, after in zip(hidden(toy), hidden(toy)[1:], strict=False):
        assert set(after) < set(before)  # what is kept is kept for good
    assert all(set(range(12, 22)) <= set(places) for places in hidden(toy)[:5])  # blocks in order
    assert found.shape == (3, 20) and not (found == MASK).any()


def test_the_most_confident_are_kept_first() -> None:
    toy = Toy(by_place)
    found = sample(toy, PROMPT, Sampling(6, 6, 3))
    assert hidden(toy) == [[2, 3, 4, 5, 6, 7], [2, 3, 4, 5], [2, 3]]
    assert found.tolist() == [[2, 3, 4, 5, 0, 1]]


def test_the_order_is_random_where_that_is_asked_for() -> None:
    def order(seed: int) -> list[list[int]]:
        toy = Toy(by_place)
        found = sample(toy, PROMPT, Sampling(6, 6, 6, remasking="random"), seed=seed)
        assert found.tolist() == [[2, 3, 4, 5, 0, 1]]
        return hidden(toy)

    orders = [order(seed) for seed in range(6)]
    assert order(0) == orders[0]
    assert len({str(o) for o in orders}) > 3


def test_a_temperature_draws_from_the_tempered_distribution() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 9.0])
    toy = Toy(lambda texts: logits.expand(*texts.shape, VOCABULARY))
    count = 40_000
    found = sample(toy, PROMPT.repeat(count, 1), Sampling(1, 1, 1, temperature=1.5))[:, 0]
    share = torch.bincount(found, minlength=VOCABULARY).double() / count
    expected = (logits[:MASK].double() / 1.5).softmax(-1)  # the mask is no candidate
    assert share[MASK] == 0
    deviations = (expected * (1 - expected) / count).sqrt()
    assert ((share[:MASK] - expected).abs() < 4 * deviations).all()


def test_guidance_moves_away_from_what_the_prompt_does_not_change() -> None:
    """Token 0 has a logit of 2 in any case, token 1 one of 1.5 where the prompt is seen."""

    def rule(texts: torch.Tensor) -> torch.Tensor:
        seen = (texts[:, :1] != MASK).float().expand_as(texts)
        zero, one = torch.zeros_like(texts), torch.ones_like(texts)
        return toys.favours(zero, torch.full(texts.shape, 2.0)) + toys.favours(one, 1.5 * seen)

    for guidance, expected in ((0.0, 0), (0.3, 0), (0.4, 1)):  # 1.5 (w + 1) > 2 from w = 1/3 on
        toy = Toy(rule)
        found = sample(toy, PROMPT, Sampling(2, 2, 2, guidance=guidance))
        assert found.tolist() == [[expected] * 2]
        assert len(toy.shown) == (4 if guidance else 2)
        prompts = {tuple(shown[0, :2].tolist()) for shown in toy.shown}
        assert prompts == ({(1, 2), (MASK, MASK)} if guidance else {(1, 2)})


def test_tokens_that_are_never_written() -> None:
    toy = Toy(by_place)
    found = sample(toy, PROMPT, Sampling(6, 6, 6, never=(3, 0)))
    assert not {0, 3} & set(found[0].tolist())
    assert found[0, [0, 2, 3, 5]].tolist() == [2, 4, 5, 1]


@pytest.mark.parametrize("remasking", ["low_confidence", "random"])
def test_tokens_that_are_written_last(remasking: str) -> None:
    toy = Toy(by_place)
    found = sample(toy, PROMPT, Sampling(6, 6, 6, remasking=remasking, last=(0, 1)))
    assert found.tolist() == [[2, 3, 4, 5, 0, 1]]
    assert sorted(hidden(toy)[4]) == [6, 7]  # places of the tokens 0 and 1
    if remasking == "low_confidence":
        assert hidden(toy)[5] == [6]


def network() -> MaskedDiffusionLM:
    torch.manual_seed(0)
    return MaskedDiffusionLM(
        MaskedDiffusionConfig(
            vocab_size=7, mask_token_id=6, hidden_size=16, intermediate_size=32,
            num_hidden_layers=1, num_attention_heads=2, eos_token_id=None, initializer_range=0.5,
        )
    )  # fmt: skip


def test_padding_on_the_left_changes_nothing() -> None:
    model = network().train()
    prompts = torch.tensor([[1, 2, 3, 4], [0, 0, 5, 1]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    settings = Sampling(8, 4, 4)
    found = sample(model, prompts, settings, attention_mask=mask)
    assert found[0].tolist() == sample(model, prompts[:1], settings)[0].tolist()
    assert found[1].tolist() == sample(model, prompts[1:, 2:], settings)[0].tolist()
    assert model.training


def test_a_seed_decides() -> None:
    settings = Sampling(8, 8, 8, temperature=1.0)
    found = [sample(network(), PROMPT, settings, seed=seed).tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_one_step_of_an_answer_is_the_argmax() -> None:
    model = network().eval()
    text = torch.tensor([[1, 2, 6, 6, 6]])
    with torch.no_grad():
        expected = model(input_ids=text).logits[:, 2:, :6].argmax(-1)
    assert torch.equal(sample(model, text[:, :2], Sampling(3, 3, 1)), expected)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"length": 0}, "length must be at least 1, but got 0"),
        ({"length": 12, "block": 5}, "block must divide the length of 12, but got 5. "
         "Nearest: 4 and 6"),
        ({"length": 12, "block": 16}, "the length of 12, but got 16. Nearest: 12"),
        ({"length": 12, "block": 0}, "block must divide the length of 12, but got 0. Nearest: 1"),
        ({"length": 12, "block": 4, "steps": 7},
         "steps must be a multiple of the 3 blocks and at most 12, but got 7. Nearest: 6 and 9"),
        ({"length": 12, "block": 4, "steps": 15}, "at most 12, but got 15. Nearest: 12"),
        ({"length": 12, "block": 4, "steps": 0}, "3 blocks and at most 12, but got 0. Nearest: 3"),
        ({"remasking": "low-confidence"}, "unknown remasking, but got 'low-confidence'. Did you "
         "mean 'low_confidence'"),
        ({"temperature": -1.0}, "temperature and guidance must not be negative"),
        ({"guidance": -0.1}, "temperature and guidance must not be negative"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Sampling(**settings)


@pytest.mark.parametrize("which", ["never", "last"])
@pytest.mark.parametrize("token", [-1, VOCABULARY])
def test_tokens_outside_the_vocabulary_are_refused(which: str, token: int) -> None:
    text = f"never and last must name tokens of the vocabulary, 0 to 6, but got {token}"
    with pytest.raises(InputError, match=text):
        sample(Toy(toys.uniform), PROMPT, Sampling(2, 2, 2, **{which: (token,)}))


@pytest.mark.parametrize("temperature", [0.0, 1e-9])
def test_candidates_are_taken_in_double_precision(temperature: float) -> None:
    logits = torch.zeros(VOCABULARY, dtype=torch.float64)
    logits[2], logits[4] = 1e4, 1e4 + 1e-5  # equal in single precision
    toy = Toy(lambda texts: logits.expand(*texts.shape, VOCABULARY))
    found = sample(toy, PROMPT, Sampling(4, 4, 2, temperature))
    assert found.tolist() == [[4] * 4]
