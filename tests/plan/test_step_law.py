"""The Step Law: published answers, rivals, a refit of a grid, what a law loses on it, caveats."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.plan.laws.step_law import without_vocabulary
from parsimony.plan.laws.step_law.advice import (
    BATCH_COVARIANCE,
    BATCH_MEAN,
    RATE_COVARIANCE,
    RATE_MEAN,
    advise,
    bootstrap_mean,
)
from parsimony.plan.laws.step_law.grid import (
    excess,
    leave_one_out,
    nearly_best,
    optima,
    read_grid,
    refit,
    surface,
)
from parsimony.plan.laws.step_law.rivals import RIVALS, rival, side_by_side, step_batch, step_rate

DATA = Path(os.environ["PARSIMONY_DATA"])
DENSE, MOE = DATA / "steplaw_dense_shared.csv", DATA / "steplaw_moe_shared.csv"
BOOTSTRAP = DATA / "steplaw_bootstrap_1000.csv"


def made(noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """A grid whose loss is an exact quadratic around the Step Law."""
    random, rows = np.random.default_rng(seed), []
    for n in (1e8, 3e8, 9e8):
        for d in (4e9, 2e10, 1e11):
            rate, batch = math.log(step_rate(n, d)), math.log(step_batch(d))
            for lr in 2.0 ** np.arange(-13, -5.9, 0.5):
                for bs in 2.0 ** np.arange(5, 11.1, 0.5):
                    u, v = math.log(lr) - rate, math.log(bs * 2048) - batch
                    loss = 2.5 * (1 + 0.004 * u * u - 0.002 * u * v + 0.003 * v * v)
                    rows.append((n, d, lr, bs, loss * math.exp(random.normal(0, noise))))
    return pd.DataFrame(rows, columns=["N", "D", "lr", "bs", "loss"])


def proposal(name: str) -> object:
    """(N, D) -> (lr, B) of a rival."""
    found = RIVALS[name]
    assert found.rate is not None and found.batch is not None
    return lambda n, d: (found.rate(n, d, math.nan), found.batch(n, d, math.nan))


@pytest.mark.parametrize(
    ("n", "d", "lr", "batch"),
    [
        (7e9, 1.4e12, 9.16557e-4, 4_998_815),
        (1e9, 1e11, 1.63250e-3, 1_107_715),
        (4.3e8, 4e10, 2.24917e-3, 656_454),
    ],
)
def test_published_answers(n: float, d: float, lr: float, batch: float) -> None:
    found = advise(n, d, schedule="cosine-fixed")
    assert (found.lr, found.batch_tokens) == pytest.approx((lr, batch), rel=5e-6)
    assert found.sequences == pytest.approx(batch / 2048, rel=1e-5)
    assert found.lr_interval[0] < lr < found.lr_interval[1]
    assert found.batch_interval[0] < batch < found.batch_interval[1]


def test_what_the_official_command_prints() -> None:
    assert bootstrap_mean(7e9, 1.4e12) == pytest.approx((9.347e-4, 4.99696e6), rel=1e-4)


def test_whole_numbers_do_not_overflow_and_vocabulary_does_not_count() -> None:
    assert without_vocabulary(960, 9368, 7) == 214_663_680
    huge = side_by_side(70 * 10**9, 14 * 10**12).loc["deepseek"]
    assert huge["lr"] == pytest.approx(0.3188 * (6 * 70e9 * 14e12) ** -0.125)


def test_rivals_stand_side_by_side_with_what_they_need() -> None:
    table = side_by_side(1e9, 1e11, loss=2.5)
    assert table["needs"].to_dict() == {
        "step-law": "N, D", "openai": "N, L", "microsoft": "N, D", "deepseek": "C", "porian": "N",
        "minicpm": "L", "constant": "",
    }  # fmt: skip
    assert table.loc["porian", "batch_tokens"] == pytest.approx(0.7576 * 1e9**0.703)
    assert table.loc["minicpm", "batch_tokens"] == pytest.approx(math.exp(20.91) / 2.5**6.24)
    without = side_by_side(1e9, 1e11)
    assert math.isnan(without.loc["openai", "batch_tokens"])
    assert without.loc["openai", "note"].startswith("its batch size needs the loss")
    far = side_by_side(1e12, 1e11).loc["step-law"]
    assert math.isnan(far["lr"])
    assert far["note"].startswith("outside its domain: N = 1e+12 is 935 times outside 5.9e+07 to")


def test_a_made_up_grid_gives_the_law_back() -> None:
    grid = read_grid(made())
    found, notes = optima(grid)
    assert not notes and len(found) == 9
    for _, cell in found.iterrows():
        assert cell["lr"] == pytest.approx(step_rate(cell["N"], cell["D"]), rel=1e-3)
        assert cell["B"] == pytest.approx(step_batch(cell["D"]), rel=1e-3)
    law = refit(grid, bootstraps=100)
    assert law.rate.constants["exponent_N"] == pytest.approx(-0.713, abs=0.05)
    assert law.batch.constants["exponent_D"] == pytest.approx(0.571, abs=0.05)
    assert law.rate.runs == 9
    rate = law.rate.predict(pd.DataFrame({"N": [1e9], "D": [1e11]})).iloc[0]
    assert law(1e9, 1e11)[0] == pytest.approx(rate["value"])
    assert excess(grid, proposal("step-law"))["interpolated"].mean() < 1e-3
    assert leave_one_out(grid)["interpolated"].mean() < 2e-3


def test_the_tolerance_region_is_the_ellipse_of_the_quadratic() -> None:
    cell = read_grid(made()).query("N == 3e8 and D == 2e10")
    found = surface(cell)
    u, v = np.meshgrid(np.linspace(-6, 6, 801), np.linspace(-6, 6, 801))
    shape = 0.5 * (found.hessian[0, 0] * u * u + 2 * found.hessian[0, 1] * u * v
                   + found.hessian[1, 1] * v * v)  # fmt: skip
    inside = shape <= 0.0025 * found.loss
    assert found.area() == pytest.approx(inside.mean() * (12 / math.log(2)) ** 2, rel=0.01)
    low, high = found.span()[0]
    assert math.log(low / found.lr) == pytest.approx(u[inside].min(), abs=0.02)
    assert math.log(high / found.lr) == pytest.approx(u[inside].max(), abs=0.02)
    assert found.area(0.005) == pytest.approx(2 * found.area())


def test_an_optimum_on_the_border_is_left_out_with_the_way_to_go() -> None:
    cut = made().query("lr < 0.0006 or N > 2e8")
    found, notes = optima(read_grid(cut))
    assert len(found) < 9 and notes
    assert all("extend it to larger lr" in note for note in notes)


def test_rates_printed_with_different_rounding_are_one_point() -> None:
    rows = pd.DataFrame({"N": 1e8, "D": 4e9, "lr": [0.000345, 0.0003453, 0.0004], "bs": 64,
                         "loss": [2.51, 2.5, 2.6]})  # fmt: skip
    assert read_grid(rows, snap=True)["lr"].tolist() == [2**-11.5, 0.0004]
    assert len(read_grid(rows)) == 3


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"schedule": None}, r"schedule must be named, but got None\. Known: cosine-fixed, cosine"),
        ({"batch": 512}, r"fewer than 4096 look like sequences, but got 512\. Is it 1\.04858e\+06"),
        ({"N": 4e10}, r"the Step Law is asked outside its domain: N = 4e\+10 is 37\.4 times"),
        ({"D": 1e13}, r"outside its domain: D = 1e\+13 is 100 times outside 4e\+09 to 1e\+11"),
        ({"N": -1.0}, r"N, D and the sequence must be positive, but got \(-1\.0, "),
    ],
)
def test_bad_questions(given: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        advise(**({"N": 1e9, "D": 1e11, "schedule": "cosine-fixed"} | given))  # type: ignore


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"D": 6e9}, "extrapolation: 6 tokens per parameter, outside 10 to 500"),
        ({"N": 2e10}, "extrapolation: N = 2e+10 is outside 0.05B to 10B"),
        ({"schedule": "wsd"}, "with 'wsd' the sign of the exponent of D may change"),
        ({"batch": 2e8}, "500 steps are fewer than 1000"),
        ({"batch": 2e8}, "the law's warm-up of 2000 steps is longer than the run"),
        ({"active": 1e8}, "not the 1e+08 active ones (lr 0.00843"),
    ],
)
def test_caveats(given: dict[str, object], text: str) -> None:
    found = advise(**({"N": 1e9, "D": 1e11, "schedule": "cosine-fixed"} | given))  # type: ignore
    assert any(text in note for note in found.notes), found.notes
    assert not advise(1e9, 1e11, schedule="cosine-fixed").notes


def test_bad_grids() -> None:
    with pytest.raises(InputError, match=r"the exponent of N needs at least 3 different values of"):
        refit(read_grid(made().query("N > 2e8")))
    with pytest.raises(InputError, match=r"cell N=1e\+08 D=4e\+09: a quadratic surface needs at l"):
        surface(read_grid(made().iloc[:5]))
    bowl = made().iloc[:195]
    with pytest.raises(InputError, match=r"the loss is not convex around its best run"):
        surface(read_grid(bowl.assign(loss=5 - bowl["loss"])))
    with pytest.raises(InputError, match=r"unknown law 'deepsek'\. Did you mean 'deepseek'\?"):
        rival("deepsek")


@pytest.mark.skipif(not BOOTSTRAP.is_file(), reason="needs the official bootstrap file")
def test_the_stored_bootstrap_is_that_of_the_official_file() -> None:
    file = pd.read_csv(BOOTSTRAP).to_numpy()
    assert file[:, :3].mean(axis=0) == pytest.approx(RATE_MEAN)
    assert file[:, 3:].mean(axis=0) == pytest.approx(BATCH_MEAN)
    assert np.cov(file[:, :3].T) == pytest.approx(RATE_COVARIANCE)
    assert np.cov(file[:, 3:].T) == pytest.approx(BATCH_COVARIANCE)


@pytest.mark.skipif(not DENSE.is_file(), reason="needs the table of dense runs")
def test_the_dense_cells() -> None:
    grid = read_grid(pd.read_csv(DENSE))
    assert (grid["cell"].nunique(), len(nearly_best(grid))) == (14, 102)
    own = refit(grid, bootstraps=200)
    assert list(own.rate.constants.values()) == pytest.approx([79.70, -0.76878, 0.19805], rel=1e-4)
    assert list(own.batch.constants.values()) == pytest.approx([0.15898, 0.62542], rel=1e-4)
    # Cells, not rows: the intervals are wider.
    rows = refit(grid, by_cell=False, bootstraps=200).rate.report()["standard_error"]
    assert (own.rate.report()["standard_error"] > rows).all()
    lost = {
        name: 100 * excess(grid, proposal(name))[["interpolated", "nearest"]].mean()
        for name in ("step-law", "deepseek", "porian", "constant")
    }
    lost["refit"] = 100 * excess(grid, own)[["interpolated", "nearest"]].mean()
    expected = {"step-law": (0.126, 0.090), "refit": (0.106, 0.091), "deepseek": (0.836, 0.779),
                "porian": (0.594, 0.668), "constant": (0.807, 0.827)}  # fmt: skip
    for name, figures in expected.items():
        assert tuple(lost[name]) == pytest.approx(figures, abs=6e-4), name
    assert 100 * leave_one_out(grid)["interpolated"].mean() < 0.126
    found, notes = optima(grid)
    assert len(found) == 14 and not notes
    # The region of tolerance grows with D at each N.
    for _, cells in found.groupby("N"):
        assert np.corrcoef(np.log(cells["D"]), np.log(cells["area"]))[0, 1] > 0.5


@pytest.mark.skipif(not MOE.is_file(), reason="needs the table of mixtures of experts")
def test_of_a_mixture_of_experts_all_parameters_count() -> None:
    grid = read_grid(pd.read_csv(MOE))
    assert grid["cell"].nunique() == 12
    total = 100 * excess(grid, proposal("step-law"))[["interpolated", "nearest"]].mean()
    active = (
        100
        * excess(grid.assign(N=grid["Na"]), proposal("step-law"))[
            ["interpolated", "nearest"]
        ].mean()
    )
    assert tuple(total) == pytest.approx((0.180, 0.174), abs=6e-4)
    assert tuple(active) == pytest.approx((1.147, 1.111), abs=6e-4)
