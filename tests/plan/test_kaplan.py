"""The Kaplan family: published losses, the trade-off, the inverse questions, the four steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from parsimony.core.errors import InputError
from parsimony.core.fitting import fit
from parsimony.plan.laws import law
from parsimony.plan.laws.kaplan.curves import KAPLAN, KAPLAN_DATA, NANOGPT, kaplan_compute

SIZES = st.floats(1e5, 1e11)
STEPS = st.floats(10, 1e7)
BATCHES = st.floats(1e3, 1e8)


@pytest.mark.parametrize(
    ("n", "s", "b", "loss"),
    [
        (1e8, 1e4, 524_288, 3.35752),
        (1e8, 1e5, 524_288, 2.93339),
        (1e9, 1e5, 524_288, 2.54119),
        (1e9, 1e5, 4_194_304, 2.42686),
    ],
)
def test_losses_worked_out_from_the_published_constants(
    n: float, s: float, b: float, loss: float
) -> None:
    assert float(KAPLAN.loss(n, s, b)) == pytest.approx(loss, abs=5e-6)


def test_the_inverse_at_one_of_them() -> None:
    loss = float(KAPLAN.loss(1e8, 1e4, 524_288))
    assert float(KAPLAN.critical_batch(loss)) == pytest.approx(6.254e5, rel=1e-4)
    assert float(KAPLAN.least_steps(1e8, loss)) == pytest.approx(4560.1, abs=0.1)


@given(SIZES, STEPS, BATCHES)
def test_the_loss_is_the_root_that_brent_finds(n: float, s: float, b: float) -> None:
    k = KAPLAN

    def equation(loss: float) -> float:
        steps = k.S_c * (1 + k.B_star / loss ** (1 / k.alpha_B) / b) / s
        return (k.N_c / n) ** k.alpha_N + steps**k.alpha_S - loss

    floor = float(k.converged(n))
    expected = brentq(equation, floor, 1e6, xtol=1e-13, rtol=1e-14)
    assert float(k.loss(n, s, b)) == pytest.approx(expected, rel=1e-9)


@given(SIZES, STEPS, BATCHES)
def test_the_questions_are_inverse_to_the_loss(n: float, s: float, b: float) -> None:
    loss = float(KAPLAN.loss(n, s, b))
    gap = loss / float(KAPLAN.converged(n)) - 1
    assert float(KAPLAN.steps(n, loss, b)) == pytest.approx(s, rel=max(1e-8, 1e-12 / gap))
    critical, least = float(KAPLAN.critical_batch(loss)), float(KAPLAN.least_steps(n, loss))
    steps, tokens = float(KAPLAN.steps(n, loss, b)), float(KAPLAN.tokens(n, loss, b))
    assert (steps / least - 1) * (tokens / (critical * least) - 1) == pytest.approx(1, rel=1e-6)
    assert float(KAPLAN.steps(n, loss, critical)) == pytest.approx(2 * least)
    assert float(KAPLAN.tokens(n, loss, critical)) == pytest.approx(2 * least * critical)
    compute = float(KAPLAN.compute(n, loss, b))
    assert compute == pytest.approx(6 * n * tokens)
    assert float(KAPLAN.least_compute(n, loss, b)) == pytest.approx(6 * n * critical * least)


def test_curves_are_vectorised_over_everything() -> None:
    steps = np.geomspace(10, 1e6, 50)
    curve = KAPLAN.loss([[1e7], [1e9]], steps, 2**19)
    assert curve.shape == (2, 50) and (np.diff(curve, axis=1) < 0).all()
    assert curve[1, 7] == pytest.approx(float(KAPLAN.loss(1e9, steps[7], 2**19)))
    assert (KAPLAN.loss(1e9, steps, 2**24) < curve[1]).all()


def test_whole_numbers_do_not_overflow() -> None:
    n, b = np.array([175 * 10**9]), np.array([3_200_000])
    assert KAPLAN.compute(n, 1.9, b)[0] == pytest.approx(KAPLAN.compute(1.75e11, 1.9, 3.2e6))


def test_published_forms_at_their_scale() -> None:
    assert float(NANOGPT.critical_batch(1)) == 2.20e7
    assert float(kaplan_compute(3.1e8)) == 1
    # Unlimited data leave the law of the size alone.
    assert float(KAPLAN_DATA.loss(1e9, 1e30)) == pytest.approx((6.4e4) ** 0.076)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: KAPLAN.steps(1e8, 2.5, 2**19), r"a loss of 2\.5 is not reachable by N = 1e\+08, "
         r"which converges to 2\.803\. It takes more than 4\.414e\+08 parameters"),
        (lambda: KAPLAN.loss(-1, 1e4, 2**19), r"N must be positive and finite, but got -1"),
        (lambda: KAPLAN.loss(1e8, 0, 2**19), r"S must be positive and finite, but got 0"),
    ],
)  # fmt: skip
def test_bad_questions(ask: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        ask()  # type: ignore[operator]


def test_the_forms_are_recovered() -> None:
    size, tokens = map(np.ravel, np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))
    table = pd.DataFrame({"N": size, "D": tokens, "loss": KAPLAN_DATA.loss(size, tokens)})
    found = fit(law("kaplan-data"), table, bootstraps=2).constants
    assert list(found.values()) == pytest.approx([6.4e13, 0.076, 1.8e13, 0.103], rel=1e-3)
    converged = pd.DataFrame({"N": size[:6], "loss": KAPLAN.converged(size[:6])})
    found = fit(law("kaplan-size"), converged, bootstraps=2).constants
    assert list(found.values()) == pytest.approx([6.5e13, 0.077], rel=1e-6)
    table = pd.DataFrame({"N": size, "S_min": tokens / 1e5})
    table["loss"] = KAPLAN.infinite_batch(size, table["S_min"])
    held = {"k": 0.077 * np.log(6.5e13), "alpha_N": 0.077}
    found = fit(law("kaplan-steps"), table, held=held, bootstraps=2).constants
    assert (found["S_c"], found["alpha_S"]) == pytest.approx((2.1e3, 0.76), rel=1e-6)
    batches = pd.DataFrame({"loss": [2.0, 2.5, 3.0, 4.0]})
    batches["B_crit"] = KAPLAN.critical_batch(batches["loss"])
    found = fit(law("kaplan-batch"), batches, bootstraps=2).constants
    assert list(found.values()) == pytest.approx([2e8, 0.21])
