"""Noise and loss against a reference in float64, and their expectations."""

from __future__ import annotations

import math

import pytest
import torch

from parsimony.models.masked_diffusion import diffusion_loss, draw_masks


def reference(
    logits: torch.Tensor, labels: torch.Tensor, masked: torch.Tensor, rates: torch.Tensor
) -> float:
    """The formula, term by term."""
    total = 0.0
    for row in range(len(labels)):
        learned = [i for i in range(labels.shape[1]) if labels[row, i] != -100]
        for i in learned:
            if masked[row, i]:
                scores = [math.exp(float(v)) for v in logits[row, i].double()]
                loss = -math.log(scores[int(labels[row, i])] / sum(scores))
                total += loss / float(rates[row, 0]) / len(learned) / len(labels)
    return total


def test_the_loss_of_given_masks_is_the_formula() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, 5, generator=draw)
    labels = torch.randint(0, 5, (3, 8), generator=draw)
    labels[1, :5] = -100  # a prompt
    labels[2, 3:] = -100  # padding
    masked, rates = draw_masks(labels, 0.2, draw)
    assert masked.any(1).all()
    expected = reference(logits, labels, masked, rates)
    assert float(diffusion_loss(logits, labels, masked, rates)) == pytest.approx(expected, 1e-6)
    exact = diffusion_loss(logits.double(), labels, masked, rates.double())
    assert float(exact) == pytest.approx(expected, 1e-6)


def test_without_prompts_it_is_the_sum_over_batch_times_length() -> None:
    logits, labels = torch.randn(2, 6, 5), torch.randint(0, 5, (2, 6))
    masked, rates = torch.ones(2, 6, dtype=torch.bool), torch.tensor([[0.5], [0.25]])
    losses = torch.nn.functional.cross_entropy(logits.mT, labels, reduction="none")
    expected = (2 * losses[0].sum() + 4 * losses[1].sum()) / (2 * 6)
    torch.testing.assert_close(diffusion_loss(logits, labels, masked, rates), expected)


def test_nothing_masked_and_nothing_to_learn_cost_nothing() -> None:
    logits, labels = torch.randn(2, 6, 5), torch.full((2, 6), -100)
    nothing = torch.zeros(2, 6, dtype=torch.bool)
    assert diffusion_loss(logits, labels, nothing, torch.ones(2, 1)) == 0
    masked, _ = draw_masks(labels, 1.0)
    assert not masked.any()


def test_rates_are_uniform_above_the_floor_and_masks_follow_them() -> None:
    labels = torch.zeros(4000, 50, dtype=torch.long)
    masked, rates = draw_masks(labels, 0.2, torch.Generator().manual_seed(0))
    assert rates.shape == (4000, 1) and rates.min() >= 0.2 and rates.max() <= 1
    assert float(rates.mean()) == pytest.approx(0.6, abs=4 * 0.8 / math.sqrt(12 * 4000))
    errors = masked.double().mean(1) - rates[:, 0]
    assert abs(float(errors.mean())) < 4 * 0.5 / math.sqrt(4000 * 50)
    assert float(errors.std()) < 0.5 / math.sqrt(50)


def test_on_average_a_predictor_that_knows_nothing_pays_log_of_the_vocabulary() -> None:
    labels = torch.zeros(4000, 50, dtype=torch.long)
    masked, rates = draw_masks(labels, 1e-3, torch.Generator().manual_seed(0))
    loss = diffusion_loss(torch.zeros(4000, 50, 5), labels, masked, rates)
    # The share of masks over its rate has variance (1/p - 1)/50, log(1/eps)/50 on average.
    deviation = math.sqrt(math.log(1000) / 50 / 4000)
    assert float(loss) == pytest.approx(math.log(5), abs=4 * math.log(5) * deviation)


def test_a_seed_decides_and_the_whole_floor_masks_all() -> None:
    labels = torch.zeros(3, 5, dtype=torch.long)
    first, second = (draw_masks(labels, 0.01, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert draw_masks(labels, 1.0)[0].all()
