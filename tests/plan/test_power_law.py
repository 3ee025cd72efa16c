"""The power law of the best rate: least squares by hand, cells of raw runs, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.core.errors import DataError, InputError
from parsimony.core.fitting import fit
from parsimony.plan.laws import law
from parsimony.plan.laws.power_law import best_rate, best_rates

A, B = 4.6, -0.51


def best(noise: float = 0.0, seed: int = 0, b: float = B, a: float = A) -> pd.DataFrame:
    """Best rates of 3 batches and 4 lengths."""
    random = np.random.default_rng(seed)
    rows = [(batch, d, batch * a * d**b * math.exp(random.normal(0, noise)))
            for batch in (64, 128, 512) for d in (1e9, 4e9, 1.6e10, 6.4e10)]  # fmt: skip
    return pd.DataFrame(rows, columns=["batch", "D", "lr"])


def raw(spread: float = 0.0) -> pd.DataFrame:
    """Runs around ``best``; their loss is a parabola in ln lr."""
    rows = [
        (batch, d, lr * 2.0**step, 2 + 0.1 * (step * math.log(2) + 0.2) ** 2 + spread * seed, seed)
        for batch, d, lr in best().itertuples(index=False)
        for step in (-2, -1, 0, 1, 2)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["batch", "D", "lr", "loss", "seed"])


def test_exact_data_give_their_constants_back() -> None:
    found = fit(law("power"), best(), bootstraps=20)
    assert found.constants == pytest.approx({"a": A, "b": B}, rel=1e-9)
    assert found.held_out == pytest.approx(0, abs=1e-9)


def test_it_is_least_squares_of_the_logarithms() -> None:
    table = best(noise=0.2)
    b, log_a = np.polyfit(np.log(table["D"]), np.log(table["lr"] / table["batch"]), 1)
    found = fit(law("power"), table, bootstraps=20)
    assert found.constants == pytest.approx({"a": math.exp(log_a), "b": b}, rel=1e-8)


def test_the_interval_holds_the_truth_in_most_draws() -> None:
    held = 0
    for seed in range(40):
        report = fit(law("power"), best(0.1, seed), bootstraps=200, seed=seed).report()
        held += report["low"]["b"] <= B <= report["high"]["b"]
    assert 34 <= held <= 40  # 95 % of 40 are 38; fewer than 34 come up once in a hundred


def test_one_batch_is_enough() -> None:
    found = fit(law("power"), best().query("batch == 64"), bootstraps=20)
    assert found.separable
    assert found.constants["b"] == pytest.approx(B, rel=1e-9)


@pytest.mark.parametrize("unit", [1, 4096])
def test_a_is_per_unit_of_the_batch(unit: int) -> None:
    table = best().assign(batch=lambda t: t["batch"] * unit)
    assert fit(law("power"), table, bootstraps=2).constants["a"] == pytest.approx(A / unit)


def test_the_best_rate_is_the_vertex() -> None:
    rates = np.array([1e-2, 1e-3, 3e-3, 3e-2])
    losses = 2 + 0.3 * np.log(rates / 4e-3) ** 2
    assert best_rate(rates, losses) == pytest.approx((4e-3, 2.0), rel=1e-9)


def test_next_to_a_run_that_diverged_no_rate_is_best() -> None:
    with pytest.raises(InputError, match=r"next to one that diverged; .*, but got 0.002"):
        best_rate(np.array([1e-3, 2e-3, 4e-3]), np.array([2.1, 2.0, np.inf]))


def test_each_cell_of_raw_runs_gives_its_best_rate() -> None:
    cells, notes = best_rates(raw())
    assert notes == () and len(cells) == 24  # by seed
    expected = np.repeat(best()["lr"].to_numpy(), 2) * math.exp(-0.2)
    assert cells["lr"].to_numpy() == pytest.approx(expected, rel=1e-9)
    assert cells["loss"].to_numpy() == pytest.approx(2.0, rel=1e-9)
    averaged, _ = best_rates(raw(spread=0.5).drop(columns="seed"))
    assert len(averaged) == 12
    assert averaged["loss"].to_numpy() == pytest.approx(2.25, rel=1e-9)


def test_raw_runs_are_fitted_through_their_cells() -> None:
    found = fit(law("power"), raw(), bootstraps=20)
    assert found.runs == 24
    assert found.constants == pytest.approx({"a": A * math.exp(-0.2), "b": B}, rel=1e-8)


def test_cells_without_a_best_rate_are_left_out_and_named() -> None:
    runs = raw()
    runs = runs[~((runs["batch"] == 64) & (runs["D"] == 1e9) & (runs["loss"] < 2.05))]
    steep = (runs["batch"] == 128) & (runs["D"] == 4e9)
    runs.loc[steep, "loss"] = 3 - runs.loc[steep, "lr"]
    cells, notes = best_rates(runs)
    assert len(cells) == 24 - len(notes) and len(notes) >= 2
    assert (
        "batch 128, D 4e+09, seed 0 is left out: the best run is at the end of its rates; add "
        "larger ones, but got"
    ) in " ".join(notes)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (best(b=0.1, a=1e-5), "the fit of 'power' failed: b must be below 0, and came out 0.1"),
        (best().query("D == 1e9"), "the exponent of D needs at least 2 different values"),
        (best().assign(D=[10, 20, 30, 40] * 3), "cannot be below the batch, but got {'D': 10.0"),
        (
            raw().query("lr < 1e-9 or D == 1e9").groupby(["batch", "D"]).head(2),
            r"no \(batch, D\) has a best rate. Such as batch 64, .* needs at least 3 rates",
        ),
    ],
)
def test_what_is_refused(table: pd.DataFrame, text: str) -> None:
    with pytest.raises(InputError, match=text):
        fit(law("power"), table, bootstraps=2, file="runs.csv")


def test_a_bad_cell_of_the_table_is_named() -> None:
    with pytest.raises(DataError, match=r"runs.csv, row 3, column 'lr': .* positive number"):
        fit(law("power"), best().assign(lr=[1, 1, -1] + [1] * 9), bootstraps=2, file="runs.csv")


def test_steep_exponents_and_implausible_units_are_said() -> None:
    steep = " ".join(fit(law("power"), best(b=-1.2, a=5e7), bootstraps=2).notes)
    assert "b = -1.2 is below -1" in steep and "outside" not in steep
    steps = best().assign(D=lambda t: t["D"] / (128 * 4096))
    notes = " ".join(fit(law("power"), steps, bootstraps=2).notes)
    assert "the rate would be" in notes and "does D count tokens, not steps or sequences?" in notes
    assert not [n for n in fit(law("power"), best(), bootstraps=2).notes if "rate" in n]


def test_the_command_finds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw().rename(columns={"D": "tokens", "lr": "rate"}).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(SystemExit) as stop:
        main(["plan", "fit", str(tmp_path / "runs.csv"), "--law", "power", "--columns",
              "D=tokens,lr=rate", "--bootstraps", "20", "--json"])  # fmt: skip
    assert stop.value.code in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert told["constants"]["b"] == pytest.approx(B)
    low, high = told["intervals"]["b"]["low"], told["intervals"]["b"]["high"]
    assert low - 1e-9 <= B <= high + 1e-9
