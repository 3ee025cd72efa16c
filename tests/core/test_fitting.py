"""The fitting engine: its minimum beside SciPy's, its intervals, its refusals and its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize

from parsimony.core.errors import ArtifactError, DataError, InputError
from parsimony.core.fitting import Fit, Law, Loss, PowerSum, Provenance, fit
from parsimony.core.fitting.law import Array, Columns
from parsimony.core.fitting.solver import minimise


class Decay(PowerSum):
    """A power above a floor."""

    name = "decay"
    formula = "y = E + A / x^k"
    source = "made up"
    columns = ("x",)
    target = "y"
    parameters = ("a", "e", "k")
    positive = ("k",)
    terms = (("a", {"x": "k"}), ("e", {}))
    reach = {"x": 10.0}  # noqa: RUF012

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array([[a, e, k] for a in (0, 3) for e in (0, 1) for k in (0.2, 1)], float)


class Line(Law):
    """A power law by least squares: log y = c + k log x."""

    name = "line"
    formula = "y = exp(c) x^k"
    source = "made up"
    columns = ("x",)
    target = "y"
    parameters = ("c", "k")
    delta = float("inf")

    def evaluate(self, theta: Array, x: Columns) -> tuple[Array, Array]:
        log = np.log(x["x"])
        value = theta[..., 0, None] + theta[..., 1, None] * log
        return value, np.broadcast_to(
            np.array([np.ones_like(log), log]), (*theta.shape, len(log))
        ).copy()

    def starts(self, x: Columns, y: Array) -> Array:
        return np.zeros((1, 2))


LAWS = {law.name: law for law in (Decay, Line)}


def runs(noise: float = 0.01, seed: int = 0, n: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = np.geomspace(1, 1000, n)
    y = (2 + 5 * x**-0.5) * np.exp(random.normal(0, noise, n))
    return pd.DataFrame({"x": x, "y": y, "run": np.arange(n) // 4})


def test_least_squares_is_that_of_numpy() -> None:
    table = runs()
    found = fit(Line(), table, bootstraps=50)
    slope, intercept = np.polyfit(np.log(table["x"]), np.log(table["y"]), 1)
    assert found.constants == pytest.approx({"c": intercept, "k": slope}, rel=1e-7)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 4.0]))
def test_no_scipy_search_finds_a_lower_loss(seed: int, above: float) -> None:
    table, law, loss = runs(0.02, seed), Decay(), Loss(1e-3, above)
    x, y, w = {"x": table["x"].to_numpy()}, np.log(table["y"].to_numpy()), np.ones(len(table))
    starts = law.starts(x, y)
    thetas, losses = minimise(law, starts, x, y, np.tile(w, (len(starts), 1)), loss)

    def objective(theta: Array) -> tuple[float, Array]:
        value, gradient = law.evaluate(theta, x)
        r = value - y
        return 1e4 * float(loss.value(r, w)), 1e4 * gradient @ loss.slope(r, w)

    first = thetas[losses.argmin()]
    theirs = min(
        (scipy_minimize(objective, s, jac=True, method="BFGS") for s in [first, *starts[:2]]),
        key=lambda found: found.fun,
    )
    assert losses.min() <= theirs.fun / 1e4 * (1 + 1e-8)


def test_resamples_are_solved_together_as_they_are_alone() -> None:
    table, law, loss = runs(), Decay(), Loss(1e-3)
    x, y = {"x": table["x"].to_numpy()}, np.log(table["y"].to_numpy())
    weights = np.random.default_rng(1).multinomial(40, [1 / 40] * 40, size=30).astype(float)
    start = np.tile([1.6, 0.7, 0.5], (30, 1))
    together = minimise(law, start, x, y, weights, loss)[1]
    alone = [minimise(law, start[:1], x, y, w[None], loss)[1][0] for w in weights]
    assert together == pytest.approx(alone, rel=1e-10)


def test_a_sum_and_not_a_mean_of_huber_losses() -> None:
    loss, r = Loss(0.1, above=3.0), np.array([0.05, -0.05, 0.5, -0.5])
    tails = 0.1 * (0.5 - 0.05)
    assert loss.value(r, np.ones(4)) == pytest.approx(4 * 0.5 * 0.05**2 + 4 * tails)
    step = 1e-7
    slopes = [
        (loss.value(v + step, np.ones(1)) - loss.value(v - step, np.ones(1))) / (2 * step)
        for v in r[:, None]
    ]
    assert loss.slope(r, np.ones(4)) == pytest.approx(slopes, rel=1e-5)
    even = Loss(0.1)
    assert even.reweighted(r, np.ones(4)) * r == pytest.approx(even.slope(r, np.ones(4)))


def test_a_higher_cost_above_draws_to_the_lower_envelope() -> None:
    table = runs(0.05)
    middle, low = fit(Decay(), table, bootstraps=2), fit(Decay(), table, bootstraps=2, above=20)
    assert (middle.residuals > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert (low.residuals > 0).mean() < 0.15


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth = {"A": 5, "E": 2, "k": 0.5}
    inside = dict.fromkeys(truth, 0)
    for seed in range(50):
        report = fit(Decay(), runs(seed=seed), bootstraps=100).report()
        for name, value in truth.items():
            inside[name] += report.loc[name, "low"] <= value <= report.loc[name, "high"]
    assert all(42 <= count <= 50 for count in inside.values()), inside


def test_rows_of_a_run_are_resampled_together() -> None:
    table = pd.concat([runs(seed=1)] * 5)  # each row five times over
    table["row"] = table.index
    rows, whole = fit(Decay(), table), fit(Decay(), table, run="row")
    assert (rows.runs, whole.runs) == (200, 40)
    assert whole.report()["standard_error"].to_numpy() == pytest.approx(
        rows.report()["standard_error"] * 5**0.5, rel=0.5
    )
    assert "no run column" in rows.notes[0] and not whole.notes


def test_a_held_parameter_stays() -> None:
    found = fit(Decay(), runs(), held={"k": 0.4}, bootstraps=20)
    assert found.constants["k"] == 0.4 and set(found.draws[:, 2]) == {0.4}
    assert found.objective > fit(Decay(), runs(), bootstraps=20).objective


def test_the_largest_size_is_held_out() -> None:
    table = runs()
    found = fit(Decay(), table, bootstraps=20)
    smaller = fit(Decay(), table.iloc[:-1], bootstraps=20)
    predicted = smaller.predict(table.iloc[-1:])["value"].iloc[0]
    assert found.held_out == pytest.approx(abs(predicted / table["y"].iloc[-1] - 1), rel=1e-6)


def test_a_prediction_has_a_band_and_says_how_far_it_reaches() -> None:
    inside = []
    for seed in range(10):
        found, fresh = fit(Decay(), runs(seed=seed), bootstraps=200), runs(seed=100 + seed)
        told = found.predict(fresh)
        inside.append(((told["low"] <= fresh["y"]) & (fresh["y"] <= told["high"])).mean())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
    assert list(told.columns) == ["x", "value", "low", "high", "extrapolation"]
    assert (told["extrapolation"] == 1).all()
    assert found.predict(pd.DataFrame({"x": [5000]}))["extrapolation"][0] == pytest.approx(5)
    far = pd.DataFrame({"x": [1000, 100_000]})
    with pytest.raises(
        InputError,
        match=r"^the table, row 2: outside the domain of 'decay': x 1e\+05 is 100 times outside "
        r"the fitted range of 1 to 1000, and at most 10 times is answered",
    ):
        found.predict(far)
    beyond = found.predict(far, beyond=True)
    edge = found.predict(pd.DataFrame({"x": [9999]}))
    assert np.log(beyond["high"] / beyond["low"])[1] > 1.9 * np.log(edge["high"] / edge["low"])[0]


def test_it_loads_back_equal(tmp_path: Path) -> None:
    setting = Provenance(tokenizer="bytes", context="64", batch_unit="tokens")
    found = fit(Decay(), runs(), bootstraps=20, provenance=setting)
    found.save(tmp_path / "fit.json")
    again = Fit.load(tmp_path / "fit.json", LAWS)
    assert again == found and again != fit(Decay(), runs(seed=1), bootstraps=20)
    pd.testing.assert_frame_equal(again.predict(runs()), found.predict(runs()))
    pd.testing.assert_frame_equal(again.report(), found.report())
    assert again.correlation().loc["a", "a"] == pytest.approx(1)


def test_settings_do_not_mix() -> None:
    found = fit(Decay(), runs(), bootstraps=5, provenance=Provenance(tokenizer="bytes"))
    found.predict(runs(), provenance=Provenance(tokenizer="bytes", context="64"))
    with pytest.raises(
        InputError,
        match=r"must not be mixed: tokenizer is 'bytes' in one and 'gpt2' in the other\. Fit both",
    ):
        found.predict(runs(), provenance=Provenance(tokenizer="gpt2"))
    with pytest.raises(InputError, match=r"unknown provenance 'tokeniser'\. Did you mean 'tokeni"):
        Provenance.of({"tokeniser": "gpt2"})


def test_whole_numbers_do_not_overflow() -> None:
    huge = pd.DataFrame({"x": np.array([2**62, 2**61, 2**60], dtype=np.int64), "y": [1, 2, 4]})
    assert fit(Line(), huge, bootstraps=5).constants["k"] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.iloc[:0], r"the table: a table needs at least one row"),
        (lambda t: t.rename(columns={"x": "z"}), r"there is no column 'x'.*--columns x="),
        (lambda t: t.assign(x=-t["x"]), r"row 1, column 'x': a law needs a positive number, but"),
        (lambda t: t.assign(y="n/a"), r"row 1, column 'y': a law needs a positive number, but got"),
        (lambda t: t.assign(y=[None, *t["y"][1:]]), r"row 1, column 'y': a law needs a positive"),
    ],
)
def test_bad_tables(change: Callable[[pd.DataFrame], pd.DataFrame], text: str) -> None:
    with pytest.raises(DataError, match=text):
        fit(Decay(), change(runs()))


def test_bad_requests() -> None:
    with pytest.raises(InputError, match=r"'decay' has 3 constants and needs more runs than that"):
        fit(Decay(), runs().iloc[:3])
    with pytest.raises(InputError, match=r"there is no column 'group' that tells the runs apart"):
        fit(Decay(), runs(), run="group")
    with pytest.raises(InputError, match=r"has no parameter 'kk'\. Did you mean 'k'\?"):
        fit(Decay(), runs(), held={"kk": 1.0})
    with pytest.raises(InputError, match=r"needs at least 2 bootstraps and a positive cost"):
        fit(Decay(), runs(), bootstraps=0)
    rising = runs().assign(y=lambda t: t["x"] ** 0.3)
    with pytest.raises(InputError, match=r"the fit of 'decay' failed: k came out negative"):
        fit(Decay(), rising, held={"e": -9.0})


def test_constants_that_cannot_be_told_apart_are_not_printed(tmp_path: Path) -> None:
    found = fit(Decay(), runs().assign(x=7.0), bootstraps=5)
    assert not found.separable and found.report().isna().all(axis=None)
    assert "not separable on these runs" in " ".join(found.notes)
    found.save(tmp_path / "fit.json")
    assert json.loads((tmp_path / "fit.json").read_text())["constants"] == {}
    assert Fit.load(tmp_path / "fit.json", LAWS) == found


def test_bad_files(tmp_path: Path) -> None:
    file = tmp_path / "fit.json"
    file.write_text("{}")
    with pytest.raises(ArtifactError, match=r"must be a saved fit\. Write one with: parsimony"):
        Fit.load(file, LAWS)
    found = fit(Decay(), runs(), bootstraps=5)
    found.save(file)
    with pytest.raises(InputError, match=r"unknown law 'decay'\. Known: line"):
        Fit.load(file, {"line": Line})
    content = json.loads(file.read_text())
    del content["draws"]
    file.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"is not a whole fit \(KeyError: 'draws'\)\. Fit aga"):
        Fit.load(file, LAWS)
