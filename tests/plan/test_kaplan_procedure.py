"""Kaplan's constants from made-up training curves, in four steps, and what each step refuses."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.core.fitting import Provenance
from parsimony.plan.laws.kaplan.curves import KAPLAN
from parsimony.plan.laws.kaplan.procedure import fit_batches, fit_kaplan

SIZES = np.array([1e6, 3e6, 1e7, 3e7, 6e7])
BATCHES = (2**15, 2**17, 2**18, 2**19, 2**21)


def curves(noise: float = 0.005, seed: int = 0, last: float = 1e5) -> pd.DataFrame:
    """One size at five batch sizes, the others at one; the law holds after 300 steps."""
    random, rows = np.random.default_rng(seed), []
    for size in SIZES:
        for batch in BATCHES if size == 1e7 else (2**19,):
            steps = np.geomspace(10, last, 60)
            loss = np.maximum(KAPLAN.loss(size, steps, batch), 11 - steps / 100)  # warm-up
            loss *= np.exp(random.normal(0, noise, 60))
            rows.append(pd.DataFrame({"run": f"{size:g} {batch}", "N": size, "B": batch,
                                      "S": steps, "loss": loss}))  # fmt: skip
    return pd.concat(rows)


def converged(noise: float = 0.005, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed + 1000)
    loss = KAPLAN.converged(SIZES) * np.exp(random.normal(0, noise, len(SIZES)))
    return pd.DataFrame({"N": SIZES, "loss": loss})


def test_the_constants_lie_in_their_bands() -> None:
    setting = Provenance(tokenizer="made up")
    found = fit_kaplan(
        curves(), converged(), warm_up=1000, bootstraps=40, provenance=setting
    )  # fmt: skip
    report = found.report()
    for name, value in asdict(KAPLAN).items():
        assert report.loc[name, "low"] <= value <= report.loc[name, "high"], name
    assert found.error < 0.006 and found.provenance == setting
    # A batch size and a number of steps that no run had.
    told = found.loss(2e8, [1e4, 1e5], 2**20)
    truth = KAPLAN.loss(2e8, [1e4, 1e5], 2**20)
    assert ((told["low"] <= truth) & (truth <= told["high"])).all()
    assert told["value"].to_numpy() == pytest.approx(truth, rel=0.02)


def test_an_unseen_batch_size_beats_the_same_curve_by_tokens_or_steps() -> None:
    table = curves()
    found = fit_kaplan(
        table[table["B"] != 2**18], converged(), warm_up=1000, bootstraps=2
    ).constants
    steps = np.geomspace(1000, 1e5, 30)
    truth, near = KAPLAN.loss(1e7, steps, 2**18), KAPLAN.loss(1e7, steps, 2**17)
    by_tokens = KAPLAN.loss(1e7, 2 * steps, 2**17)
    error = np.abs(found.loss(1e7, steps, 2**18) - truth).mean()
    assert error < 0.05
    assert error < min(np.abs(near - truth).mean(), np.abs(by_tokens - truth).mean())


def test_step_two_alone_gives_the_curve_of_an_unseen_batch() -> None:
    table = curves(0)
    one = table[(table["N"] == 1e7) & (table["B"] != 2**18)]
    found = fit_batches(one, warm_up=1000)
    assert found.alpha_B == pytest.approx(KAPLAN.alpha_B, rel=0.05)
    assert (found.reached.groupby("loss")["B"].nunique() >= 3).all()
    curve = found.curve(2**18)
    assert curve["loss"].is_monotonic_decreasing and curve["S"].is_monotonic_increasing
    assert KAPLAN.loss(1e7, curve["S"], 2**18) == pytest.approx(curve["loss"].to_numpy(), rel=0.005)
    with pytest.raises(
        InputError, match="step 2 needs one size at 3 or more batch sizes, but got 2"
    ):
        fit_batches(one[one["B"] > 2**17], warm_up=1000)


def test_the_ends_of_flat_curves_do_for_step_one() -> None:
    found = fit_kaplan(curves(0, last=1e9), warm_up=1000, bootstraps=2).constants
    assert found.alpha_N == pytest.approx(0.077, rel=0.02)


@pytest.mark.parametrize(
    ("table", "given", "text"),
    [
        (curves(0, last=1e4), {}, r"step 1 needs converged runs, and the best one of N = 1e\+06 "
         r"\(run .*\) still falls by 1\.7 % over its last fifth\. Train longer, or give"),
        (curves().drop(columns="run"), {"converged": converged()},
         r"points of one curve depend on each other, and a column 'run' must tell"),
        (curves(), {"converged": converged(), "warm_up": 1e6},
         r"no point is after the warm-up of 1e\+06 steps"),
        (curves(), {"converged": converged().iloc[:2]},
         r"step 1 needs at least 3 sizes to draw a line through, but got 2"),
        (curves().query("B >= 524288"), {"converged": converged()},
         r"step 2 needs one size at 3 or more batch sizes, but got 2\. Train one size"),
    ],
)  # fmt: skip
def test_a_step_without_its_runs_is_refused(
    table: pd.DataFrame, given: dict[str, object], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        fit_kaplan(table, **({"bootstraps": 2, "warm_up": 500} | given))  # type: ignore[arg-type]
