"""The rule, its refusals, the spread, the search, the toy problem, and the published curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from parsimony.adapt.intrinsic_dimension import (
    intrinsic_dimension,
    measure_intrinsic_dimension,
    spread,
)
from parsimony.adapt.methods.subspace import PROJECTIONS, Subspace
from parsimony.core.errors import InputError

CURVE = [(0, 0.98), (0, 1.02), (10, 0.5), (20, 0.89), (20, 0.91), (40, 0.92), (80, 0.88), (160, 1)]
PUBLISHED = Path(__file__).parents[3] / "shared/data/intrinsic_dimension_curves.csv"


def test_the_least_d_strictly_above_the_fraction_with_its_neighbours() -> None:
    found = intrinsic_dimension(CURVE)
    assert (found.dimension, found.score, found.below) == (40, 0.92, 20)  # 20 is at 0.9, not above
    assert (found.threshold, found.baseline) == (0.9, 1.0)
    assert (found.largest, found.last_failure) == (160, 80)
    lower = intrinsic_dimension(CURVE, fraction=0.4)
    assert (lower.dimension, lower.below, lower.last_failure) == (10, None, None)


def test_none_comes_with_the_largest_tested() -> None:
    found = intrinsic_dimension(CURVE, fraction=1.0)
    assert (found.dimension, found.score, found.largest, found.below) == (None, None, 160, 160)


def test_a_global_baseline_and_a_threshold() -> None:
    assert intrinsic_dimension(CURVE[2:], baseline=0.5).dimension == 10
    found = intrinsic_dimension(CURVE[2:], threshold=0.95)
    assert (found.dimension, found.threshold, found.baseline) == (160, 0.95, None)


def test_losses_go_from_a_reference_down_to_the_baseline() -> None:
    losses = [(0, 1.0), (5, 2.5), (10, 1.21), (20, 1.19), (40, 1.1)]
    found = intrinsic_dimension(losses, reference=3.0, greater_is_better=False)
    assert (found.threshold, found.dimension, found.below) == (pytest.approx(1.2), 20, 10)


def test_negative_rewards_have_a_threshold_or_a_reference() -> None:
    rewards = [(0, -100.0), (5, -900.0), (10, -150.0), (20, -110.0)]
    assert intrinsic_dimension(rewards, threshold=-160).dimension == 10
    assert intrinsic_dimension(rewards, reference=-1000).dimension == 10


@pytest.mark.parametrize(
    ("curve", "given", "message"),
    [
        (CURVE[2:], {}, r"no direct runs \(d = 0\).*Add some, or give baseline or threshold"),
        (CURVE, {"greater_is_better": False}, r"a fraction of a loss says nothing.*reference"),
        ([(0, -5.0), (2, -9.0)], {}, r"better than the reference 0.*but got -5.0\. Give threshold"),
        (CURVE, {"reference": 1.5}, r"better than the reference 1\.5"),
        (CURVE, {"fraction": 1.1}, r"fraction must be above 0 and at most 1, but got 1\.1"),
        (CURVE[:2], {}, "at least one d above 0"),
        ([(0, 1.0), (2, math.nan)], {}, "the scores of a curve must be finite"),
        ([(-1, 1.0)], {"threshold": 0.5}, "d must be at least 0.*but got -1"),
        (pd.DataFrame({"d": [1]}), {"threshold": 0.5}, r"the columns 'd' and 'score'.*score"),
    ],
)
def test_what_it_refuses(curve: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        intrinsic_dimension(curve, **given)


def test_the_spread_draws_one_run_per_d() -> None:
    fixed = spread([(0, 1.0), (10, 0.5), (20, 0.95)])
    assert (fixed.mean, fixed.std, fixed.low, fixed.high, fixed.found) == (20, 0, 20, 20, 1)
    # At 10, one run of two passes; then the answer is 10 in half of the draws.
    even = spread([(0, 1.0), (10, 0.8), (10, 0.95), (20, 0.95)], draws=400)
    assert even.mean == pytest.approx(15, abs=1) and even.std == pytest.approx(5, abs=0.2)
    assert (even.low, even.high) == (10, 20)
    never = spread([(0, 1.0), (10, 0.5), (10, 0.95)], draws=400)
    assert never.found == pytest.approx(0.5, abs=0.1) and never.std == 0
    assert math.isnan(spread([(0, 1.0), (10, 0.5)]).mean)


@pytest.mark.parametrize("truth", [1, 2, 7, 16, 130, 999, 1000])
@pytest.mark.parametrize("start", [1, 16, 1000])
def test_the_search_brackets_the_answer_with_few_runs(truth: int, start: int) -> None:
    tried = []

    def run(d: int, seed: int) -> float:
        tried.append(d)
        return 1.0 if d == 0 or d >= truth else 0.1

    found = measure_intrinsic_dimension(run, 1000, seeds=(0,), start=start).found
    assert found.dimension is not None and found.dimension >= truth
    assert (found.below or 0) < truth
    below = found.below or 0
    assert found.dimension <= 1.25 * below or found.dimension - below == 1
    assert len(tried) == len(set(tried)) <= 16


def test_the_search_gives_up_at_all_parameters_and_a_grid_is_kept_to() -> None:
    found = measure_intrinsic_dimension(lambda d, _: float(d == 0), 100, seeds=(0, 1)).found
    assert found.dimension is None and found.largest == 100
    told: list[tuple[int, int, float]] = []
    measured = measure_intrinsic_dimension(
        lambda d, _: float(d > 4), 100, grid=[8, 2, 4, 8], threshold=0.5,
        on_run=lambda *run: told.append(run),
    )  # fmt: skip
    assert measured.curve["d"].tolist() == [2, 2, 4, 4, 8, 8] == [d for d, _, _ in told]
    assert (measured.found.dimension, measured.found.below) == (8, 4)


@pytest.mark.parametrize(
    "given", [{"seeds": ()}, {"start": 101}, {"grid": [0]}, {"grid": []}, {"precision": 1.0}]
)
def test_a_search_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="needs seeds, d in 1 to D = 100 and a precision above 1"):
        measure_intrinsic_dimension(lambda d, _: 1.0, 100, **given)


class Toy(nn.Module):
    """1000 values in ten groups; group i is to add up to i (section 2 of the paper)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.values = nn.Parameter(torch.randn(10, 100, generator=random))

    def forward(self) -> torch.Tensor:
        return (self.values.sum(1) - torch.arange(1.0, 11)).square().sum()


def solved(d: int, seed: int, kind: str) -> float:
    """exp(-loss) at the best point of the subspace; the loss is quadratic, so LBFGS finds it."""
    model = Toy(seed)
    if d:
        model = Subspace(model, d, kind, seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(trained, max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = model()
        value.backward()
        return value

    optimizer.step(loss)
    return math.exp(-model().item())


@pytest.mark.parametrize("kind", sorted(PROJECTIONS))
def test_the_toy_problem_has_intrinsic_dimension_ten(kind: str) -> None:
    for fraction in (0.9, 0.99):
        measured = measure_intrinsic_dimension(
            lambda d, seed: solved(d, seed, kind), 1000, grid=[9, 10, 12], seeds=(0, 1, 2),
            fraction=fraction,
        )  # fmt: skip
        assert (measured.found.dimension, measured.found.below) == (10, 9), measured.curve
        assert measured.spread.std == 0


@pytest.mark.parametrize(
    ("curve", "given", "dimension"),
    [
        ("mnist_fc", {"baseline": 1.0}, 750),
        ("mnist_lenet", {"baseline": 1.0}, 290),
        ("mnist_untied_lenet", {"baseline": 1.0}, 600),
        ("mnist_fc", {}, 525),
        ("mnist_lenet", {}, 275),
        ("mnist_untied_lenet", {}, 450),
        ("cifar_lenet", {"baseline": 0.5}, 1000),
        ("cifar_lenet", {}, 2900),
        ("cifar_untied_lenet", {"baseline": 0.5}, 2750),
        ("cifar_untied_lenet", {}, 15000),
        ("mnist_sl100_fc5", {"baseline": 1.0, "fraction": 0.89}, 190_000),
        ("cartpole_v0_w20", {"baseline": 195.0}, 25),
    ],
)
def test_the_published_curves_give_the_published_figures(
    curve: str, given: dict[str, float], dimension: int
) -> None:
    if not PUBLISHED.is_file():
        pytest.skip("the authors' curves are not here")
    table = pd.read_csv(PUBLISHED)
    found = intrinsic_dimension(table[table["curve"] == curve], **given)
    assert found.dimension == dimension
    if curve == "cartpole_v0_w20":
        assert (found.score, found.threshold) == (pytest.approx(177.24), 175.5)
