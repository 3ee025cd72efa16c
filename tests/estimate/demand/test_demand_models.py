"""Every forecaster keeps the contract; the simple ones agree with statsforecast, the rest learn."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from parsimony.core.errors import InputError
from parsimony.estimate.demand import graph, tasks
from parsimony.estimate.demand.forecaster import Forecaster, chosen, forecasters, rolling
from parsimony.estimate.demand.generate import generate
from parsimony.estimate.demand.learning import Learned, Network
from parsimony.estimate.demand.models.ridge import Ridge
from parsimony.estimate.demand.protocol import Protocol

DRAWN = generate(12, 3)
VALUES, GROUPS = DRAWN.table.values, DRAWN.table.groups
RING = graph.from_pairs(
    pd.DataFrame(
        [(str(g), f"s{s:04d}", f"s{(s + 1) % 12:04d}") for g in range(3) for s in range(12)],
        columns=["group", "first", "second"],
    ),
    DRAWN.table,
)
LEARNED = [name for name, kind in forecasters().items() if kind.learned]
NETWORKS = [name for name in LEARNED if issubclass(forecasters()[name], Network)]


def made(name: str, **settings: object) -> Forecaster:
    kind = forecasters()[name]
    if issubclass(kind, Network):
        settings = {"epochs": 2, "batch": 64, "rows": 256} | settings
    if kind.needs_graph:
        settings = {"graph": RING} | settings
    return kind(**settings)


def test_the_families_are_there() -> None:
    assert set(forecasters()) >= {
        "naive", "seasonal-naive", "window-mean", "drift", "ses", "holt", "theta", "croston", "tsb",
        "arima", "auto-ets", "ridge", "graph-ridge", "dlinear", "nlinear", "tide", "patchtst",
        "segrnn", "lstm", "fourier",
    }  # fmt: skip
    assert "graph-ridge" not in chosen("all") and "graph-ridge" in chosen("all", graph=True)
    assert set(chosen("quick")) < set(chosen("all"))
    assert chosen("naive, ses,naive") == ["naive", "ses"]
    assert chosen("quick,holt") == [*chosen("quick"), "holt"]
    with pytest.raises(InputError, match=r"unknown forecaster 'seas'\. Did you mean 'ses'"):
        chosen("seas")
    with pytest.raises(InputError, match="graph-ridge needs a graph of the series"):
        chosen("graph-ridge")


@pytest.mark.parametrize("name", forecasters())
def test_a_forecaster_keeps_the_contract(name: str) -> None:
    model = made(name)
    with pytest.raises(NotFittedError):
        model.predict(3)
    twin = clone(model)
    kept, copied = model.get_params(), twin.get_params()
    assert all(kept[key] == copied[key] for key in kept if key != "graph")
    assert inspect.getdoc(type(model))
    history = VALUES[:, :24].copy()
    history[0], history[1] = 0, 7
    before = history.copy()
    assert model.fit(history, GROUPS) is model
    found = model.predict(3)
    assert found.shape == (36, 3) and np.isfinite(found).all() and (history == before).all()
    assert (found[0] == 0).all() and (found[1] == 7).all()  # constant series
    assert (twin.fit(history, GROUPS).predict(3) == found).all()  # deterministic
    # Later months are not seen, and a change of unit changes the unit of the forecast.
    again = rolling(clone(model), np.hstack([history, np.full((36, 12), 1e9)]), [24], 3, GROUPS)
    assert (again[:, 0] == found).all()
    if name not in ("arima", "auto-ets", "holt"):  # fitted by a likelihood that is not scale-free
        scaled = clone(model).fit(1000 * history, GROUPS).predict(3)
        assert scaled == pytest.approx(1000 * found, rel=1e-3, abs=1e-2 * 1000)
    assert model.parameters_ > 0 if model.learned else model.parameters_ == 0


@pytest.mark.parametrize("name", forecasters())
@pytest.mark.parametrize(
    ("history", "message"),
    [
        (np.ones(5), "a history has the shape (series, months), with 2 months at least"),
        (np.full((2, 20), np.nan), "a history must be finite. Nothing is filled in silently"),
    ],
)
def test_bad_histories_are_refused(name: str, history: np.ndarray, message: str) -> None:
    with pytest.raises(InputError) as caught:
        made(name).fit(history)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("naive", lambda m: m.Naive()), ("seasonal-naive", lambda m: m.SeasonalNaive(12)),
        ("window-mean", lambda m: m.WindowAverage(3)), ("drift", lambda m: m.RandomWalkWithDrift()),
        ("ses", lambda m: m.SimpleExponentialSmoothing(0.5)),
    ],
)  # fmt: skip
def test_the_vectorised_equal_statsforecast(name: str, peer: object) -> None:
    models = pytest.importorskip("statsforecast.models")
    found = made(name).fit(VALUES[:, :30]).predict(3)
    for row, told in zip(VALUES[:, :30], found, strict=True):
        assert told == pytest.approx(peer(models).forecast(y=row, h=3)["mean"])


def test_seasonal_naive_needs_a_year() -> None:
    with pytest.raises(InputError, match="seasonal-naive needs 12 months of history, but got 11"):
        made("seasonal-naive").fit(VALUES[:, :11]).predict(3)


def test_ridge_is_the_closed_form_on_scaled_differences() -> None:
    model = Ridge(penalty=0.0).fit(VALUES[:, :30])
    scaled = model.scaler_.scale(VALUES[:, :30])
    x, y = [], []
    for start in range(27 - 9 + 1):
        w = scaled[:, start : start + 9]
        x.append(w[:, :5] - w[:, 5:6])
        y.append(w[:, 6:] - w[:, 5:6])
    expected = np.linalg.lstsq(np.vstack(x), np.vstack(y), rcond=None)[0]
    assert model.weights_ == pytest.approx(expected)
    assert model.scaler_.mean[:, 0] == pytest.approx(VALUES[:, :27].mean(1))


def test_neighbours_help_where_they_lead() -> None:
    """Each series is its neighbour's two months later."""
    random = np.random.default_rng(0)
    walk = 100 + np.cumsum(random.normal(size=(30, 40)), axis=1)
    values = np.vstack([walk[:, 2:38], walk[:, :36]])
    pairs = np.zeros((60, 60))
    pairs[range(30), range(30, 60)] = pairs[range(30, 60), range(30)] = 1
    known = graph.Graph(sparse.csr_matrix(pairs), 30)
    protocol = Protocol()
    actual = protocol.targets(values, protocol.origins("test"))[30:]
    errors = [
        np.abs(rolling(model, values, protocol.origins("test"), 3)[30:] - actual).mean()
        for model in (made("graph-ridge", graph=known), made("ridge"))
    ]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_and_its_best_epoch_comes_back(name: str) -> None:
    trend = np.arange(30) * np.linspace(1, 3, 40)[:, None] + 5 * np.sin(np.arange(30))
    model = made(name, epochs=12, patience=12, batch=128, rate=1e-2).fit(trend)
    assert model.losses_[model.best_epoch_, 1] == model.losses_[:, 1].min()
    assert model.losses_[-1, 0] < model.losses_[0, 0]
    last = made(name, epochs=12, patience=12, batch=128, rate=1e-2, reload_best=False).fit(trend)
    assert (last.losses_ == model.losses_).all()
    ends = (m.network_.state_dict().values() for m in (last, model))
    assert all((a == b).all() for a, b in zip(*ends, strict=True)) == (model.best_epoch_ == 11)


def test_training_stops_early() -> None:
    model = made("nlinear", epochs=50, patience=2, rate=0.5, decay=1.0).fit(VALUES[:, :30])
    assert len(model.losses_) == model.best_epoch_ + 3 < 50


def test_an_epoch_has_a_bounded_number_of_rows() -> None:
    few = made("nlinear", rows=64).fit(VALUES[:, :30])
    assert (few.losses_ != made("nlinear", rows=512).fit(VALUES[:, :30]).losses_).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_forecasts_do_not_depend_on_the_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(name).fit(VALUES[:, :30])
    whole = model.predict(3)
    for rows in (1, 7, 35):
        monkeypatch.setattr("parsimony.estimate.demand.learning._EVALUATED", rows)
        assert model.predict(3) == pytest.approx(whole, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("task", ["fair", "low", "break:parzen"])
@pytest.mark.parametrize("name", ["ridge", "nlinear"])
def test_a_task_changes_the_training(name: str, task: str) -> None:
    plain = made(name).fit(VALUES[:, :30], GROUPS).predict(3)
    found = made(name, task=task).fit(VALUES[:, :30], GROUPS).predict(3)
    assert (found == plain).all() == (name == "ridge" and task == "fair")


def test_fairness_is_traded_for_error() -> None:
    """One group's series move twice as wildly: the task makes errors of groups more alike."""
    torch = pytest.importorskip("torch")
    from parsimony.estimate.demand.learning import _spread

    error = torch.tensor([[1.0, -1.0], [3.0, 3.0], [1.0, 1.0]])
    assert float(_spread(error, torch.tensor([5, 2, 5]))) == 1.0  # of 1 and 3
    assert float(_spread(error, torch.tensor([2, 2, 2]))) == 0.0


def test_tasks_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="the task 'fair' needs two groups at least"):
        made("ridge", task="fair").fit(VALUES[:, :30])
    with pytest.raises(InputError, match="the task 'low' needs rare series, and there are none"):
        made("ridge", task="low").fit(VALUES[:, :30] + 1)
    with pytest.raises(InputError, match="graph-ridge is not for the task 'low'"):
        made("graph-ridge", task="low").fit(VALUES[:, :30])
    with pytest.raises(InputError, match="graph-ridge needs a graph of the series"):
        made("graph-ridge", graph=None).fit(VALUES[:, :30])
    with pytest.raises(InputError, match="segrnn needs a context and horizon that are multiples"):
        made("segrnn", context=5).fit(VALUES[:, :30])
    assert tasks.NAMES == ("standard", "fair", "low", "break")


@pytest.mark.parametrize("name", LEARNED)
def test_beyond_the_horizon_only_if_asked(name: str) -> None:
    model: Learned = made(name).fit(VALUES[:, :30])
    with pytest.raises(InputError) as caught:
        model.predict(4)
    assert str(caught.value) == (
        f"{name} is trained for 3 months, but got 4. Ask for recursive forecasts, or train for a "
        "longer horizon"
    )
    fed = model.recursive(7)
    assert fed.shape == (36, 7) and (fed[:, :3] == model.predict(3)).all()
    assert (fed[:, 3:6] == model.update(np.hstack([VALUES[:, :30], fed[:, :3]])).predict(3)).all()


def test_short_histories_say_how_many_windows() -> None:
    with pytest.raises(InputError) as caught:
        made("ridge").fit(VALUES[:, :11])
    assert str(caught.value) == (
        "ridge needs 6 + 3 + 3 months to train and stop; there are 11, which gives 0 windows. Give "
        "more months, or a smaller context or horizon"
    )
    for short in ({"context": 1}, {"validation": 2}):
        with pytest.raises(InputError, match="ridge needs a context of 2 months and a validation"):
            made("ridge", **short).fit(VALUES)
    with pytest.raises(InputError, match="the horizon must be at least 1 month, but got 0"):
        made("naive").fit(VALUES).predict(0)
