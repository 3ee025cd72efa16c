"""Bounds of toys in closed form, by enumeration, and their spread."""

from __future__ import annotations

import itertools
import math

import diffusion_toys as toys
import numpy as np
import pytest
import torch
from diffusion_toys import MASK, VOCABULARY, Toy

from parsimony.core.errors import InputError
from parsimony.models.masked_diffusion import bound, log_likelihood

TEXTS = torch.tensor([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [1, 1, 1, 1, 1, 1]])


def counting(texts: torch.Tensor) -> torch.Tensor:
    """Every masked token costs more, the more are masked."""
    hidden = (texts == MASK).sum(1, keepdim=True).expand_as(texts)
    return toys.favours(torch.zeros_like(texts), -hidden.float())


def neighbours(texts: torch.Tensor) -> torch.Tensor:
    """Favours the token to the left, wrapped; a mask there leaves nothing to know."""
    left = texts.roll(1, dims=1)
    return toys.favours(left, torch.where(left == MASK, 0.0, 2.0))


def cost(rule: object, text: list[int], hidden: tuple[int, ...], prompt: int = 0) -> float:
    """Sum of the cross-entropies of hidden tokens."""
    shown = torch.tensor([text])
    for place in hidden:
        shown[0, prompt + place] = MASK
    logits = rule(shown).double().log_softmax(-1)  # type: ignore[operator]
    return -sum(float(logits[0, prompt + i, text[prompt + i]]) for i in hidden)


def expected(rule: object, text: list[int], prompt: int = 0) -> float:
    """The bound of -log p(answer), all masks enumerated."""
    length = len(text) - prompt
    total = 0.0
    for k in range(1, length + 1):
        masks = list(itertools.combinations(range(length), k))
        mean = sum(cost(rule, text, hidden, prompt) for hidden in masks) / len(masks)
        total += length / k * mean / length
    return total


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_a_predictor_that_knows_nothing_is_at_log_of_the_vocabulary(draws: int) -> None:
    found = bound(Toy(toys.uniform), TEXTS, draws=draws, batch=2)
    assert found.rows == pytest.approx([math.log(VOCABULARY)] * 3)
    assert found.value == pytest.approx(math.log(VOCABULARY))
    assert str(found) == f"at most 1.9459 nats/token (upper bound, {draws} draws per text)"


def test_as_many_draws_as_tokens_take_each_count_once() -> None:
    """sum over k of c(k), with c(k) what each of k masked tokens costs."""
    text = torch.tensor([[1, 2, 3, 4]])  # none is token 0, the one whose logit falls
    costs = [math.log(VOCABULARY - 1 + math.exp(-k)) for k in range(1, 5)]
    for seed in range(3):
        found = bound(Toy(counting), text, draws=4, seed=seed)
        assert found.value == pytest.approx(sum(costs) / 4)
        assert log_likelihood(Toy(counting), [], [1, 2, 3, 4], draws=8, seed=seed) == (
            pytest.approx(-sum(costs))
        )


def test_counts_are_spread_over_the_texts_too() -> None:
    toy = Toy(toys.uniform)
    bound(toy, torch.zeros(5, 10, dtype=torch.long), draws=2, batch=3)
    counts = torch.cat([(shown == MASK).sum(1) for shown in toy.shown])
    assert sorted(counts.tolist()) == list(range(1, 11))


def test_the_mean_of_many_draws_is_the_expectation() -> None:
    text = [0, 0, 3, 3, 3, 1]
    found = bound(Toy(neighbours), torch.tensor([text]), draws=6000, batch=6000).value
    assert found == pytest.approx(expected(neighbours, text) / 6, abs=0.01)
    found = log_likelihood(Toy(neighbours), text[:2], text[2:], draws=6000, batch=6000)
    assert found == pytest.approx(-expected(neighbours, text, prompt=2), abs=0.03)


def test_it_bounds_the_likelihood_of_a_distribution_that_is_known() -> None:
    """Exact conditionals of a chain in which a token repeats the one before with chance 0.7."""
    stay, move = 0.7, 0.3 / 5
    chain = np.full((6, 6), move) + (stay - move) * np.eye(6)
    texts = np.array(list(itertools.product(range(6), repeat=3)))
    joint = np.prod([chain[texts[:, i], texts[:, i + 1]] for i in range(2)], axis=0) / 6

    def conditionals(shown: torch.Tensor) -> torch.Tensor:
        logits = torch.full((*shown.shape, VOCABULARY), -math.inf)
        for row, text in enumerate(shown.tolist()):
            seen = [i for i in range(3) if text[i] != MASK]
            fits = (texts[:, seen] == np.array(text)[seen]).all(1)
            for place, token in itertools.product(range(3), range(6)):
                chance = joint[fits & (texts[:, place] == token)].sum() / joint[fits].sum()
                logits[row, place, token] = math.log(chance) if chance else -math.inf
        return logits

    # With exact conditionals every order of filling gives the same product: the bound is tight.
    for text in ([0, 0, 0], [0, 0, 1], [2, 5, 2]):
        exact = float(joint[(texts == text).all(1)].sum())
        assert expected(conditionals, text) == pytest.approx(-math.log(exact), rel=1e-5)
        found = log_likelihood(Toy(conditionals), [], text, draws=600, batch=600)
        assert found == pytest.approx(math.log(exact), abs=0.05)


def test_one_token_takes_one_draw_and_is_exact() -> None:
    toy = Toy(neighbours)
    found = log_likelihood(toy, [3], [3])
    assert found == pytest.approx(math.log(math.exp(2) / (math.exp(2) + 6)))
    assert [shown.tolist() for shown in toy.shown] == [[[3, MASK]]]


def test_what_is_given_is_never_masked_nor_counted() -> None:
    toy = Toy(neighbours)
    labels = TEXTS.clone()
    labels[0, :4] = -100
    labels[1, 2:] = -100
    found = bound(toy, labels, input_ids=TEXTS, draws=4)
    for shown in toy.shown:
        assert not ((shown == MASK) & (labels.repeat(4, 1) == -100)).any()
    assert found.rows.shape == (3,) and (found.rows > 0).all()


def test_a_seed_decides_and_the_model_keeps_its_mode() -> None:
    toy = Toy(neighbours).train()
    rows = [bound(toy, TEXTS, seed=seed).rows.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]
    assert toy.training


def test_the_spread_falls_with_the_draws() -> None:
    spreads = [
        np.std([bound(Toy(neighbours), TEXTS, draws=draws, seed=s).value for s in range(30)])
        for draws in (1, 24)
    ]
    assert spreads[1] < spreads[0] / 4


@pytest.mark.parametrize(
    ("labels", "draws", "text"),
    [
        (TEXTS, 0, "draws must be at least 1, but got 0"),
        (torch.tensor([[1, 2], [-100, -100]]), 1,
         "every text must ask for a token, but got 1. This row has labels of -100 alone"),
        (torch.tensor([[1, MASK]]), 1,
         "texts must not hold the mask token: they are masked here, but got 6"),
    ],
)  # fmt: skip
def test_what_cannot_be_bounded_is_refused(labels: torch.Tensor, draws: int, text: str) -> None:
    with pytest.raises(InputError, match=text):
        bound(Toy(toys.uniform), labels, input_ids=labels.abs() % 100, draws=draws)


def test_an_answer_has_a_token() -> None:
    with pytest.raises(InputError, match="every text must ask for a token"):
        log_likelihood(Toy(toys.uniform), [1], [])
