"""The Chinchilla law: the split of compute, recovery, Epoch's table, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.core.fitting import Loss, fit
from parsimony.core.fitting.solver import minimise
from parsimony.plan.laws import law, laws
from parsimony.plan.laws.chinchilla import (
    EPOCH,
    PUBLISHED,
    UNROUNDED,
    Constants,
    epoch_runs,
    splits,
)

DATA = Path(os.environ["PARSIMONY_DATA"])
POINTS = DATA / "chinchilla_epoch_extracted_245.csv"
GADRE = DATA / "gadre_scaling_small95.csv"


def grid(noise: float = 0.002, seed: int = 0) -> pd.DataFrame:
    size, tokens = map(np.ravel, np.meshgrid(np.geomspace(1e7, 1e9, 8), np.geomspace(1e9, 1e11, 6)))
    random = np.random.default_rng(seed)
    loss = EPOCH.loss(size, tokens) * np.exp(random.normal(0, noise, len(size)))
    return pd.DataFrame({"N": size, "D": tokens, "loss": loss})


@pytest.mark.parametrize("name", sorted(laws()))
def test_the_gradient_of_every_law_is_that_of_its_formula(name: str) -> None:
    random, chosen = np.random.default_rng(0), law(name)
    x = {column: np.exp(random.uniform(10, 20, 6)) for column in chosen.columns}
    theta = random.uniform(0.2, 0.9, len(chosen.parameters))
    value, gradient = chosen.evaluate(theta, x)
    assert value.shape == (6,) and gradient.shape == (len(theta), 6)
    step = 1e-6
    for i in range(len(theta)):
        up, down = theta.copy(), theta.copy()
        up[i] += step
        down[i] -= step
        slope = (chosen.evaluate(up, x)[0] - chosen.evaluate(down, x)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-8)
    batch, _ = chosen.evaluate(np.stack([theta, theta + 0.1]), x)
    assert batch[0] == pytest.approx(value)


@given(st.floats(1e18, 1e26))
def test_the_split_is_the_least_loss_at_its_compute(compute: float) -> None:
    found = EPOCH.split(compute)
    assert pytest.approx(compute) == 6 * found.N * found.D
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert EPOCH.loss(found.N * factor, found.D / factor) > found.loss


def test_published_splits_and_losses() -> None:
    assert float(PUBLISHED.loss(70e9, 1.4e12)) == pytest.approx(1.9366, abs=5e-5)
    ratios = [c.split(5.88e23).ratio for c in (EPOCH, UNROUNDED, PUBLISHED)]
    assert ratios == pytest.approx([18.4, 59.0, 92.8], abs=0.05)
    with pytest.raises(InputError, match="compute must be a positive number of FLOPs, but got 0"):
        EPOCH.split(0)


def test_known_constants_are_recovered_within_their_intervals() -> None:
    names = ("A", "B", "E", "alpha", "beta")
    inside = dict.fromkeys(names, 0)
    for seed in range(10):
        found = fit(law("chinchilla"), grid(seed=seed), bootstraps=100)
        report = found.report()
        for name in names:
            low, high = report.loc[name, ["low", "high"]]
            inside[name] += low <= getattr(EPOCH, name) <= high
    assert min(inside.values()) >= 8, inside
    exact = fit(law("chinchilla"), grid(0), bootstraps=2)
    assert list(exact.constants.values()) == pytest.approx(
        [EPOCH.A, EPOCH.B, EPOCH.E, EPOCH.alpha, EPOCH.beta], rel=1e-4
    )
    optimal = splits(found, 1e21)
    assert np.quantile([s.N for s in optimal], 0.025) <= EPOCH.split(1e21).N
    assert np.quantile([s.N for s in optimal], 0.975) >= EPOCH.split(1e21).N


def test_the_average_parameter_law_is_the_same_law_of_another_count() -> None:
    table = grid()
    average = fit(law("average-parameters"), table.rename(columns={"N": "N_avg"}), bootstraps=5)
    plain = fit(law("chinchilla"), table, bootstraps=5)
    assert average.constants == plain.constants
    assert average.ranges["C"] == plain.ranges["C"]


def test_tied_exponents_and_the_floor_in_compute() -> None:
    table = grid(0)
    table["loss"] = Constants(400, 400, 1.8, 0.35, 0.35).loss(table["N"], table["D"])
    tied = fit(law("chinchilla-tied"), table, bootstraps=2).constants
    assert list(tied.values()) == pytest.approx([400, 400, 1.8, 0.35], rel=1e-4)
    path = pd.DataFrame({"C": np.geomspace(1e18, 1e22, 12)})
    path["loss"] = [EPOCH.split(c).loss for c in path["C"]]
    floor = fit(law("compute-floor"), path, bootstraps=2).constants
    assert floor["E"] == pytest.approx(EPOCH.E, rel=1e-3)
    assert floor["gamma"] == pytest.approx(
        EPOCH.alpha * EPOCH.beta / (EPOCH.alpha + EPOCH.beta), rel=1e-2
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.assign(loss=np.exp(3 * t["loss"])), r"row 1, column 'loss': a loss is in nats "
         r"per token, and this looks like a perplexity, but got .* Give its logarithm"),
        (lambda t: t.assign(loss_unit=["nats", "bits"] * 24), r"one fit needs one of the units of "
         r"the loss, but 'loss_unit' has bits, nats\. Which rows are meant"),
        (lambda t: t.assign(embeddings=[True, False] * 24), r"one fit needs one of the ways of "
         r"counting N, but 'embeddings' has False, True\. Which rows"),
        (lambda t: t.assign(unique_tokens=5e10), r"row 41, column 'D': 'chinchilla' is a law of "
         r"runs that repeat no data, and this one saw more tokens than its 5e\+10 unique ones"),
        (lambda t: t.assign(loss=t["loss"].to_numpy()[::-1]), r"the fit of 'chinchilla' failed: "),
    ],
)  # fmt: skip
def test_bad_input(change: Callable[[pd.DataFrame], pd.DataFrame], text: str) -> None:
    with pytest.raises(InputError, match=text):
        fit(law("chinchilla"), change(grid()), bootstraps=2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.002, 0.02])
def test_one_ratio_of_tokens_to_parameters_gives_no_constants(seed: int, noise: float) -> None:
    table = grid(noise, seed).assign(D=lambda t: 20 * t["N"])
    table["loss"] = (
        grid(noise, seed)["loss"]
        / EPOCH.loss(grid()["N"], grid()["D"])
        * EPOCH.loss(table["N"], table["D"])
    )
    found = fit(law("chinchilla"), table, bootstraps=2)
    assert not found.separable and found.report().isna().all(axis=None)
    assert "vary N and D independently" in " ".join(found.notes)


def test_a_floor_above_an_observed_loss_is_a_failed_fit() -> None:
    y = np.log([2.0, 3.0])
    chosen = law("chinchilla")
    said = chosen.refusal(np.array([6, 7, np.log(2.5), 0.3, 0.3]), y)
    assert said == ("the least possible loss E = 2.5 lies above the smallest observed loss 2")
    assert chosen.refusal(np.array([6, 7, 0.5, 0.3, -0.1]), y).startswith("beta came out negative")


def test_far_beyond_the_data_is_refused_with_the_factor() -> None:
    found = fit(law("chinchilla"), grid(), bootstraps=20)
    with pytest.raises(InputError, match=r"outside the domain of 'chinchilla': C 9e\+24 is"):
        found.predict(pd.DataFrame({"N": [5e11], "D": [3e12]}))


@pytest.mark.skipif(not POINTS.is_file(), reason="needs the table that Epoch AI read off")
def test_epochs_points() -> None:
    runs = epoch_runs(pd.read_csv(POINTS))
    assert len(runs) == 240
    found = fit(law("chinchilla"), runs, bootstraps=1000)
    assert found.objective == pytest.approx(1.0182740178e-3, abs=5e-14)
    report, best = found.report(), Constants.of(found.constants)
    assert pytest.approx((477.83, 2143.4), rel=1e-4) == (best.A, best.B)
    assert (best.E, best.alpha, best.beta) == pytest.approx((1.81722, 0.34731, 0.367172), rel=1e-5)
    assert best.split(5.88e23).ratio == pytest.approx(17.9, abs=0.05)
    published = {"A": (285.2, 743.6), "B": (1042, 5810), "E": (1.769, 1.871),
                 "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}  # fmt: skip
    for name, (low, high) in published.items():
        assert report.loc[name, "low"] == pytest.approx(low, rel=0.06)
        assert report.loc[name, "high"] == pytest.approx(high, rel=0.06)
    # The same sum at the constants that were printed first.
    x, y = {"N": runs["N"].to_numpy(), "D": runs["D"].to_numpy()}, np.log(runs["loss"].to_numpy())
    for constants, value in ((UNROUNDED, 1.23116e-3), (PUBLISHED, 4.12101e-3)):
        r = np.log(constants.loss(x["N"], x["D"])) - y
        assert Loss(1e-3).value(r, np.ones(240)) == pytest.approx(value, rel=1e-5)
    starts = law("chinchilla").starts(x, y)
    _, losses = minimise(law("chinchilla"), starts, x, y, np.ones((72, 240)), Loss(1e-3))
    assert (losses < found.objective * 1.0001).sum() >= 20


@pytest.mark.skipif(not GADRE.is_file(), reason="needs the table of 95 small models")
def test_the_largest_of_the_small_models_are_predicted() -> None:
    table = pd.read_csv(GADRE).rename(columns={"params": "N", "tokens": "D", "loss_c4_val": "loss"})
    for corpus, runs in table.groupby("train_data"):
        free, tied = (fit(law(n), runs, bootstraps=20) for n in ("chinchilla", "chinchilla-tied"))
        assert 0.012 < free.error < tied.error < 0.0165, corpus
        assert free.held_out is not None and tied.held_out is not None
        assert tied.held_out < free.held_out < 0.035, corpus
