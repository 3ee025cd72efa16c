"""The 25/75 rule in compute, and the plan that stands on it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.core.fitting import fit
from parsimony.plan.laws import law
from parsimony.plan.laws.chinchilla import EPOCH, PUBLISHED, Constants
from parsimony.plan.sparse_pretraining import ComputeRule, plan_sparse, sweep


@given(st.floats(0, 0.95), st.floats(0, 0.5), st.floats(0.55, 1.0))
def test_whole_steps_keep_the_compute_and_come_near_the_closed_form(
    sparsity: float, start: float, end: float
) -> None:
    rule = ComputeRule(sparsity, start, end)
    found = rule.schedule(10_000, every=10)
    assert found.compute == pytest.approx(10_000, rel=0.001)
    assert found.average_density == pytest.approx(rule.average_density, rel=0.003)
    assert found.compute_shares == pytest.approx((start, end), abs=0.002)
    for whole, exact in zip((found.start, found.end), rule.steps(10_000)[:2], strict=True):
        assert whole == pytest.approx(exact, abs=6)


def test_without_pruning_it_is_the_dense_training() -> None:
    assert ComputeRule(0.0).steps(1000) == (250, 750, 1000)
    assert ComputeRule(1e-9).stretch == pytest.approx(1.0)


def test_the_quantities_fit_together() -> None:
    found = plan_sparse(sparsity=0.8, params=1.2e9, unprunable=6e7, compute=1e21, batch=5e5)
    value = found.table["value"]
    kept = found.schedule.average_density
    assert value["params_average"] == pytest.approx(6e7 + (1.2e9 - 6e7) * kept)
    assert value["params_after"] == pytest.approx(6e7 + (1.2e9 - 6e7) * 0.2)
    assert value["tokens"] == found.schedule.total * 5e5
    assert value["training_flops"] == pytest.approx(1e21, rel=0.005)
    assert value["loss_low"] < value["loss"] < value["loss_high"]
    assert value["inference_saving"] == value["params_average"] / value["params_after"]
    same = value[["cheapest_dense_params", "cheapest_dense_tokens"]]
    served = value["break_even_tokens"]
    dense = value["cheapest_dense_flops"] + 2 * same.iloc[0] * served
    assert dense == pytest.approx(value["training_flops"] + 2 * value["params_after"] * served)
    assert 6 * same.prod() == pytest.approx(value["cheapest_dense_flops"])


def test_sizes_before_and_after_are_one_plan() -> None:
    before = plan_sparse(sparsity=0.5, params=1e9, tokens=5e10, batch=1e6).table["value"]
    after = plan_sparse(sparsity=0.5, final=5e8, tokens=5e10, batch=1e6).table["value"]
    pd.testing.assert_series_equal(before, after)


def test_compute_alone_is_split_at_the_average() -> None:
    value = plan_sparse(sparsity=0.8, compute=1e21).table["value"]
    dense = plan_sparse(sparsity=0.0, compute=1e21).table["value"]
    assert value["params_average"] == pytest.approx(dense["params_average"], rel=0.003)
    assert value["loss"] == pytest.approx(dense["loss"], rel=1e-5)
    assert value["params_before"] == pytest.approx(5 * value["params_after"])


def test_steps_of_a_released_run_are_shown_as_shares() -> None:
    found = plan_sparse(
        sparsity=0.8, params=1.139e9, steps=(2500, 12600, 25050), every=50, batch=8e6
    )
    assert found.schedule.prunings == 203
    assert found.table.loc["start_compute_share", "value"] == pytest.approx(0.25, abs=0.002)
    assert found.notes[0] == "25.0% and 75.1% of the compute are 10.0% and 50.3% of the steps"


def test_where_the_cheapest_dense_model_is_smaller_there_is_no_break_even() -> None:
    found = plan_sparse(sparsity=0.1, params=8e9, tokens=2e10, batch=5e5)
    assert "break_even_tokens" not in found.table.index
    assert any(note.startswith("no break-even") for note in found.notes)


@pytest.mark.parametrize("constants", [PUBLISHED, EPOCH])
def test_the_cheapest_way_to_a_loss_is_the_split_that_reaches_it(constants: Constants) -> None:
    split = constants.split(3e21)
    found = constants.cheapest(split.loss)
    assert pytest.approx((split.N, split.D)) == (found.N, found.D)
    with pytest.raises(InputError, match="no model reaches a loss of E = "):
        constants.cheapest(1.6)


def test_a_sweep_has_one_compute() -> None:
    rows = sweep(params=1e9, dense_steps=20_000, batch=1e6)
    assert len(rows) == 80 and rows["loss"].is_monotonic_increasing
    assert rows["compute"].to_numpy() == pytest.approx(20_000, rel=0.01)
    assert len(rows.drop_duplicates(["sparsity", "start", "end"])) == 80


def test_a_fit_of_sparse_and_dense_runs_is_taken() -> None:
    size, tokens = map(
        np.ravel, np.meshgrid(np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e11, 4))
    )
    runs = pd.DataFrame({"N_avg": size, "D": tokens, "loss": EPOCH.loss(size, tokens)})
    own = fit(law("average-parameters"), runs, bootstraps=5)
    value = plan_sparse(sparsity=0.5, params=1e9, tokens=5e10, batch=1e6, fitted=own).table["value"]
    told = EPOCH.loss(value["params_average"], value["tokens"])
    assert value["loss"] == pytest.approx(float(told), rel=1e-4)
    few = fit(law("average-parameters"), runs.iloc[[0, 1, 4, 6, 11, 13, 15]], bootstraps=2)
    assert any("7 runs are fewer than 8" in note for note in few.notes)
    other = pd.DataFrame({"N": [1e6, 1e7, 1e8, 1e9], "loss": [4.0, 3.4, 2.9, 2.5]})
    with pytest.raises(InputError, match=r"needs a Chinchilla law .* but got 'kaplan-size'"):
        plan_sparse(sparsity=0.5, compute=1e21, fitted=fit(law("kaplan-size"), other, bootstraps=2))


BASE = {"sparsity": 0.5, "params": 1e9, "tokens": 5e10}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"sparsity": 50}, "but got 50. Is it 0.5?"),
        ({"start": 25, "end": 75}, "shares of the training compute, 0 <= start < end <= 1, but got "
                                   "(25, 75). Are they 0.25 and 0.75?"),
        ({"start": 2500, "end": 7500}, "Steps are given with --steps START,END,TOTAL"),
        ({"start": 0.5, "end": 0.5}, "but got (0.5, 0.5). Give 0.25 and 0.75, say"),
        ({"tokens": None}, "give --compute, or one of --params and --final with one of --compute"),
        ({"final": 1e8}, "give --compute, or one of --params and --final with one of --compute"),
        ({"compute": 1e21}, "give --compute, or one of --params and --final with one of"),
        ({"params": -1.0}, "compute, sizes, tokens and batch must be positive and finite"),
        ({"params": math.inf}, "compute, sizes, tokens and batch must be positive and finite"),
        ({"unprunable": -1.0}, "the unprunable part of N cannot be negative, but got -1.0"),
        ({"unprunable": 1e9}, "N before pruning must be larger than its unprunable part of 1e+09"),
        ({"params": None, "final": 1e8, "unprunable": 2e8}, "N after pruning must be larger than"),
        ({"params": None, "tokens": None, "compute": 1e18, "unprunable": 1e10},
         "The compute-optimal average must be larger than its unprunable part of 1e+10"),
        ({"every": 10**6}, "prunings every 1000000 steps do not fit between steps "),
        ({"tokens": 1e14, "beyond": True}, "Give --batch-tokens"),
        ({"params": 1e14, "batch": 1e6}, "the plan, row 1: outside the domain of 'chinchilla'"),
        ({"tokens": None, "steps": (10, 110, 300)}, "--steps needs the tokens of a step. Give "
                                                    "--batch-tokens"),
        ({"tokens": None, "steps": (10, 110, 300), "batch": 1e6, "end": 0.75},
         "--steps stands in place of --start and --end, which are shares of the compute"),
        ({"tokens": None, "steps": (10, 111, 300), "batch": 1e6}, "Nearest: 110 or 210"),
    ],
)  # fmt: skip
def test_what_is_refused(changed: dict[str, object], text: str) -> None:
    with pytest.raises(InputError) as error:
        plan_sparse(**{**BASE, **changed})
    assert text in str(error.value)
