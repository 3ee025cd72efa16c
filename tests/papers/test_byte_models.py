"""Tiny models of bytes: data kept apart, runs that repeat, schedules; the pure parts of claims."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from parsimony.papers.cards import power_scheduler, scaling_laws

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from parsimony.core.data.builtins import stdlib_code  # noqa: E402
from parsimony.papers.byte_models import (  # noqa: E402
    CONTEXT,
    HELD_OUT,
    Run,
    decoder,
    mean_of_seeds,
    sequence_losses,
    size,
    train_run,
    validation_loss,
    windows,
)


def run(steps: int = 80, rate: float = 0.01, seed: int = 0, **given: object) -> Run:
    stages = {"warmup_tokens": 10 * 4 * CONTEXT, **given}
    return Run(4, steps, rate, seed, width=16, stages=tuple(stages.items()))


def test_held_out_text_is_of_files_that_no_training_text_is_of() -> None:
    from parsimony.core.data import load

    of = stdlib_code().table.drop_duplicates("text", keep=False)
    files = dict(zip(of["text"], of["file"], strict=True))
    splits = load("stdlib-code").splits
    train, held_out = ({files.get(t) for t in splits[s]["text"]} for s in ("train", "validation"))
    assert len(train) > 100 and len(held_out) > 30
    assert train & held_out <= {None}  # of a piece that several files share
    assert windows("train").shape[1] == windows("validation").shape[1] == CONTEXT
    assert windows("train").dtype == torch.uint8
    assert len(windows("train")) > 50_000


def test_a_model_has_12_layers_width_squared_weights() -> None:
    for width in (16, 32):
        vectors = 2 * (9 * width + 4 * width) + 2 * width  # biases and norms of blocks, last norm
        assert size(decoder(width, 0)) == 12 * 2 * width**2 + vectors


def test_a_run_learns_more_than_how_often_each_byte_comes_and_repeats() -> None:
    first = train_run(run(), points=3)
    assert list(first) == [10, 28, 80]
    shares = torch.bincount(windows("train").flatten().int(), minlength=256).double()
    shares = shares[shares > 0] / shares.sum()
    unigram = float(-(shares * shares.log()).sum())
    assert first[80] < unigram < math.log(256)
    assert train_run(run(), points=3) is first
    train_run.cache_clear()
    torch.rand(3)
    assert train_run(run(), points=3) == first
    assert train_run(run(seed=1))[80] != first[80]


def test_runs_are_alike_until_one_of_them_decays() -> None:
    tokens = 4 * CONTEXT
    short = run(30, total_tokens=30 * tokens, decay_tokens=5 * tokens)
    long = run(60, total_tokens=60 * tokens, decay_tokens=5 * tokens)
    losses = [train_run(r, points=2) for r in (short, long)]
    assert losses[0][10] == losses[1][10]
    whole = run(30, total_tokens=60 * tokens, decay_tokens=5 * tokens)
    assert train_run(whole)[30] != losses[0][30]


def test_a_training_that_diverges_has_no_loss() -> None:
    assert math.isnan(train_run(run(10, rate=1e30))[10])


def test_the_interval_of_seeds_is_students() -> None:
    value, (low, high) = mean_of_seeds([1.0, 2.0, 3.0])
    assert value == 2.0
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_the_best_rate_is_the_vertex_of_a_parabola_in_log_rate() -> None:
    rates = (0.001, 0.003, 0.01, 0.03)
    losses = [2.0 + 0.1 * math.log(rate / 0.005) ** 2 for rate in rates]
    assert power_scheduler.vertex(rates, losses) == pytest.approx((0.005, 2.0))
    assert power_scheduler.vertex(rates, [1.0, 2.0, 3.0, 4.0]) == (0.001, 1.0)
    assert power_scheduler.exponent([1, 2, 4], [3, 6, 12]) == pytest.approx((1, math.log(3)))


def test_errors_of_curves_are_taken_where_both_are_and_after_warm_up() -> None:
    steps = np.array([10, 100, 200, 400, 800])
    truth = pd.DataFrame({"S": steps, "loss": 5 - np.log(steps)})
    law = pd.DataFrame({"S": [50, 500], "loss": 5.1 - np.log([50, 500])})
    assert scaling_laws.mean_error(truth, law) == pytest.approx(0.1)
    law["loss"] -= [0.0, 0.2]
    inside = np.log(steps[1:4] / 50) / np.log(10)
    assert scaling_laws.mean_error(truth, law) == pytest.approx(np.abs(0.1 - 0.2 * inside).mean())


def test_losses_of_sequences_average_to_the_validation_loss() -> None:
    model = decoder(16, 0)
    losses = sequence_losses(model)
    assert losses.shape == (HELD_OUT,) and losses.std() > 0
    assert losses.mean() == pytest.approx(validation_loss(model), rel=1e-5)
