"""KL, total variation and agreement of two models' predictions, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parsimony.compress.generation_study.divergence import agreement, kl, total_variation
from parsimony.core.errors import InputError

FINITE = st.lists(st.floats(-8, 8), min_size=3, max_size=3)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 1.7])
@pytest.mark.parametrize(("a", "b"), [(0.3, -0.2), (2.0, 1.0), (-1.0, -1.0)])
def test_two_tokens_are_bernoulli(a: float, b: float, temperature: float) -> None:
    p, q = sigmoid(a / temperature), sigmoid(b / temperature)
    first, second = torch.tensor([[a, 0.0]]), torch.tensor([[b, 0.0]])
    wanted = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert kl(first, second, temperature).item() == pytest.approx(wanted, abs=1e-7)
    assert total_variation(first, second, temperature).item() == pytest.approx(abs(p - q), abs=1e-7)


def test_small_changes_of_even_logits_count_by_the_square_of_one_over_t() -> None:
    change = 1e-3 * torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    even = torch.zeros(50, dtype=torch.double)
    for temperature in (0.2, 1.0, 3.0):
        wanted = change.var(correction=0).item() / (2 * temperature**2)
        assert kl(even, even + change, temperature).item() == pytest.approx(wanted, rel=0.02)


def test_top_k_keeps_what_the_original_holds_likeliest() -> None:
    first = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    second = torch.tensor([[0.0, 9.0, 1.0, 5.0]])  # likes what is left out
    kept = torch.tensor([[3.0, 2.0]]), torch.tensor([[0.0, 1.0]])
    for measure in (kl, total_variation):
        torch.testing.assert_close(measure(first, second, 0.7, 2), measure(*kept, 0.7))
        torch.testing.assert_close(measure(first, second, 0.7, 4), measure(first, second, 0.7))
    assert kl(first, second, 1.0, 1).item() == 0 == total_variation(first, second, 1.0, 1).item()


@given(FINITE, FINITE, st.floats(0.1, 3), st.floats(-5, 5))
def test_bounds_and_what_changes_nothing(
    first: list[float], second: list[float], temperature: float, shift: float
) -> None:
    a, b = torch.tensor(first).double(), torch.tensor(second).double()
    far, apart = kl(a, b, temperature).item(), total_variation(a, b, temperature).item()
    assert far >= -1e-12 and 0 <= apart <= 1 + 1e-12
    assert far >= 2 * apart**2 - 1e-9, "Pinsker"
    assert kl(a, b + shift, temperature).item() == pytest.approx(far, abs=1e-9)
    assert kl(a, a, temperature).item() == 0 == total_variation(a, a, temperature).item()


def test_agreement_is_of_the_likeliest_token() -> None:
    first = torch.tensor([[1.0, 2.0], [2.0, 1.0], [0.0, 5.0]])
    second = torch.tensor([[0.0, 9.0], [0.0, 1.0], [1.0, 1.5]])
    assert agreement(first, second).tolist() == [True, False, True]


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_greedy_decoding_has_no_distribution(temperature: float) -> None:
    logits = torch.zeros(1, 2)
    with pytest.raises(InputError, match=r"needs a positive temperature.*agreement of the likel"):
        kl(logits, logits, temperature)
