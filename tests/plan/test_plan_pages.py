"""The figures of the plan pages hold what was found, at the places where it belongs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from parsimony.core import ledger
from parsimony.core.fitting import fit
from parsimony.core.footprint import Figure, Footprint
from parsimony.core.pages import Bars, Contours, Intervals, Page, Plot
from parsimony.plan.cluster import hardware, layouts, model_shape
from parsimony.plan.cluster.training import Training
from parsimony.plan.energy_study.analysis import analyse
from parsimony.plan.energy_study.config import parse
from parsimony.plan.energy_study.study import Trial
from parsimony.plan.laws.chinchilla import EPOCH, Chinchilla
from parsimony.plan.laws.step_law.grid import KEEP, Surface
from parsimony.plan.pages import cluster, energy_study, finetuning, fitting, pretraining, sparse
from parsimony.plan.pages import ledger as graded
from parsimony.plan.pretraining import loss_curve, plan_pretraining
from parsimony.plan.sparse_pretraining import plan_sparse


def figures(page: Page) -> dict[str, Plot | Contours | Bars | Intervals]:
    """All of a page, by title; the page comes back from JSON on the way."""
    again = Page.model_validate_json(page.model_dump_json())
    return {figure.title: figure for section in again.sections for figure in section.figures}


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    size, tokens = map(np.ravel, np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 5)))
    loss = EPOCH.loss(size, tokens) * np.exp(np.random.default_rng(0).normal(0, 0.003, 30))
    return pd.DataFrame({"N": size, "D": tokens, "loss": loss})


def test_a_fit_is_drawn_as_predicted_and_its_largest_runs_as_not_seen(runs: pd.DataFrame) -> None:
    found = fit(Chinchilla(), runs, bootstraps=20)
    drawn = figures(fitting.page(found, runs))
    equal, inside, held_out = drawn["Predicted against observed"].series
    assert (equal.style, held_out.style) == ("dashed", "ringed")
    assert inside.x == runs["loss"].tolist()
    told = found.predict(runs, beyond=True)["value"]
    assert inside.y == pytest.approx(told.tolist())
    assert len(held_out.x) == 5  # of the largest size
    rest = fit(Chinchilla(), runs[runs["N"] < 9e8], bootstraps=2)
    unseen = rest.predict(runs[runs["N"] > 9e8], beyond=True)["value"]
    assert held_out.y == pytest.approx(unseen.tolist(), rel=1e-4)
    errors = [abs(y / x - 1) for x, y in zip(held_out.x, held_out.y, strict=True)]
    assert np.mean(errors) == pytest.approx(found.held_out)
    low, high = found.held_out_interval
    assert low < found.held_out < high


def test_a_run_is_as_far_from_the_curve_as_from_its_own_prediction(runs: pd.DataFrame) -> None:
    found = fit(Chinchilla(), runs, bootstraps=20)
    curve, near, largest = figures(fitting.page(found, runs))["loss over N at D = 10B"].series
    assert all(low < y < high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))
    moved = dict.fromkeys([*near.x, *largest.x])
    assert len(moved) == 6 and max(curve.x) == pytest.approx(10 * 1e9)
    at = pd.DataFrame({"N": near.x, "D": 1e10})
    away = np.array(near.y) / found.predict(at)["value"].to_numpy()
    own = np.exp(-found.residuals)[runs["N"] < 9e8]
    assert away == pytest.approx(own)


def test_the_region_of_a_cell_is_where_its_quadratic_is_within_tolerance(
    runs: pd.DataFrame,
) -> None:
    found = fit(Chinchilla(), runs, bootstraps=5)
    surface = Surface(1e-3, 4e5, 2.5, np.array([[0.04, 0.01], [0.01, 0.02]]), ())
    cell = figures(fitting.page(found, runs, {"a cell": surface}))["a cell"]
    z, area = np.array(cell.z), surface.area()
    u, v = np.log2(cell.xs), np.log2(cell.ys)
    step = (u[1] - u[0]) * (v[1] - v[0])
    assert cell.region[1] == KEEP == cell.levels[0]
    assert (z <= KEEP).sum() * step == pytest.approx(area, rel=0.03)
    assert z.min() == pytest.approx(0, abs=1e-4)


def test_the_confidence_of_a_plan_is_that_of_two_normal_logarithms() -> None:
    found, notes = plan_pretraining(compute=1e21)
    value = found["value"]
    curve = loss_curve(value["params"], value["tokens"])
    curve["learning_rate"] = np.linspace(1e-3, 1e-5, len(curve))
    drawn = figures(pretraining.page(found, curve, notes))
    (line,) = drawn["Loss of a run that ends there"].series
    assert (line.x, line.y) == (curve["tokens"].tolist(), curve["loss"].tolist())
    assert drawn["Learning rate after warm-up"].series[0].y == curve["learning_rate"].tolist()
    where = drawn["Where the optimum lies"]
    rate, batch = found.loc["learning_rate"], found.loc["batch_tokens"]
    deviations = [math.log(row["high"] / row["value"]) / 1.96 for row in (rate, batch)]
    row, column = 13, 41
    u = math.log(where.xs[column] / rate["value"]) / deviations[0]
    v = math.log(where.ys[row] / batch["value"]) / deviations[1]
    assert where.z[row][column] == pytest.approx(1 - math.exp(-(u * u + v * v) / 2))


def test_a_sparse_training_is_drawn_from_its_schedule() -> None:
    found = plan_sparse(sparsity=0.8, params=1e9, tokens=2e10, unprunable=2e8, batch=1e6)
    drawn = figures(sparse.page(found, None, []))
    density, marks = drawn["Density of the prunable weights"].series
    assert density.y[0] == 1.0 and density.y[-1] == pytest.approx(0.2)
    assert marks.x == [found.schedule.start, found.schedule.end]
    active, average = drawn["Active parameters"].series
    assert (active.y[0], active.y[-1]) == pytest.approx((1e9, 2e8 + 0.2 * 8e8))
    assert average.y[0] == found.table.loc["params_average", "value"]


def test_a_cluster_page_tells_what_fits_from_what_does_not() -> None:
    shape, machine = model_shape.read("gpt-22b"), hardware.load("frontier").part(64)
    training = Training(1024, 2048)
    found = layouts.plan(shape, machine, training)
    drawn = figures(cluster.page(found, shape, machine, training, [], top=2))
    best, fits, short, line = drawn["Time of a step against memory"].series
    usable = machine.usable
    assert best.x == [found["memory"].iloc[0]] and best.y == [found["seconds"].iloc[0]]
    assert max(fits.x) <= usable < min(short.x) and line.x == [usable, usable]
    assert min(fits.y) >= best.y[0]
    bars = drawn["The fastest layouts, heaviest stage"]
    assert [sum(parts) for _, parts in bars.rows] == pytest.approx(found["memory"].head(2).tolist())
    stages = drawn["The fastest layout, by stage"].rows
    assert [name for name, _ in stages] == ["first stage", "last stage"]
    assert max(sum(parts) for _, parts in stages) == pytest.approx(found["memory"].iloc[0])
    times = drawn["The fastest layouts"]
    assert [sum(parts) for _, parts in times.rows] == pytest.approx(
        found["seconds"].head(2).tolist()
    )


def entries(number: int) -> list[tuple[str, ledger.Entry]]:
    found = []
    for run in range(number):
        before = Footprint(seconds=Figure(100.0, "estimated"))
        after = Footprint(seconds=Figure(100.0 + run, "measured"))
        found += [(str(run), e) for e in ledger.compare("x", before, after, verb="adapt")]
    return found


@pytest.mark.parametrize(("number", "banded"), [(12, 12), (5, 0)])
def test_a_measured_value_stands_at_its_prediction_with_the_interval_of_other_runs(
    number: int, banded: int
) -> None:
    found = entries(number)
    page = graded.page(found, ledger.summary(found), ledger.summary(found, per_method=True))
    exact, points = figures(page)["seconds"].series
    assert exact.style == "dashed" and len(points.low) == banded
    assert points.style == ("points" if banded else "hollow")
    assert points.x == [100.0] * number and points.y == [100.0 + run for run in range(number)]
    if banded:
        told = ledger.interval(found[3][1], [e for run, e in found if run != "3"])
        assert (points.low[3], points.high[3]) == (told.low, told.high)


def test_a_ledger_without_outcomes_draws_nothing() -> None:
    found = [("0", ledger.Entry("x", "energy", "watt-hours", None, None, None, "no model"))]
    page = graded.page(found, ledger.summary(found), ledger.summary(found, per_method=True))
    assert page.summary == "No prediction was graded." and figures(page) == {}


def test_the_parts_of_a_fine_tuning_add_up_and_an_empty_one_is_left_out() -> None:
    cost = Footprint(peak_memory=Figure(9.0, "computed"))
    told = ledger.compare("lora", cost, Footprint())
    intervals = {entry.quantity: ledger.interval(entry, []) for entry in told}
    memory = {"weights": 5.0, "states": 4.0, "framework": 0.0}
    page = finetuning.page("m on d", "lora r=4", memory, told, intervals, limit=2.0**30)
    bars = figures(page)["Memory at the peak of a training step"]
    assert bars.parts == ["weights", "states"] and bars.rows == [("lora r=4", [5.0, 4.0])]
    assert bars.note == "The budget allows 1 GiB."
    assert page.summary == "lora r=4 takes 9 B at its peak; how long is unknown."


def test_the_differences_of_a_study_are_shares_of_the_baseline() -> None:
    arms = [{"name": name, "function": "a:b"} for name in ("slow", "fast")]
    study = parse({"arms": arms, "runs": 4, "meter": "none", "intensity": 1.0}, "s")
    trials = [
        Trial(block, arm, None, seconds, "none", samples=1)
        for block, wobble in enumerate((0.0, 0.1, 0.05, 0.2))
        for arm, seconds in (("slow", 10 + wobble), ("fast", 5 + 2 * wobble))
    ]
    found = analyse(study, trials)
    unknown = dict.fromkeys(["joules", "net_joules", "seconds", "kilograms", "accuracy"])
    means = [{"name": name, "runs": 4, **unknown} for name in ("slow", "fast")]
    page = energy_study.page("fast against slow", 95.0, found, trials, means)
    (row,) = figures(page)["Difference in time"].rows
    (compared,) = found.comparisons
    assert row.value == pytest.approx(compared.difference / compared.baseline)
    assert row.low < row.value < row.high < 0
    assert page.summary == f"fast: time lower by {-row.value:.1%}."
    slow, fast = figures(page)["Time of a run"].series
    assert (slow.name, slow.y[1], fast.y[1]) == ("slow", 10.1, 5.2)


def test_constants_that_are_not_separable_are_neither_shown_nor_drawn(runs: pd.DataFrame) -> None:
    size = runs["N"].unique()
    diagonal = pd.DataFrame({"N": size, "D": 20 * size, "loss": EPOCH.loss(size, 20 * size)})
    page = fitting.page(fit(Chinchilla(), diagonal, bootstraps=5), diagonal)
    assert [section.title for section in page.sections] == ["Errors"]
    assert any("not separable" in note for note in page.notes)
