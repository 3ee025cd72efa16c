"""Intrinsic dimension: the least number of trained values in which a problem can be solved.

Li et al. 2018 (arXiv 1804.08838, section 2): train in random subspaces of growing dimension d, and
read off the least d that reaches 90 % of what direct training reaches. It depends on optimizer,
learning rate and length of training, so these belong beside it. It is a property of a network and
a task; the dimension of a cloud of data points is another thing of the same name.

What is ours: the tested d just below comes with it, and so do failures above it, which the paper's
rule passes over; a rule for losses and negative rewards; the search for d.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError

DRAWS = 100
"""Resamples of the paper's figures."""


@dataclass(frozen=True)
class IntrinsicDimension:
    """What a curve says.

    Attributes:
        dimension: least tested d whose mean score passes; ``None`` when none does.
        score: its mean score.
        threshold: what had to be passed, strictly.
        baseline: mean score of direct training, or the given one; ``None`` with a threshold.
        below: the next smaller tested d, which fails; ``None`` when the least one passes. The
            intrinsic dimension lies above it, and at most at ``dimension``.
        largest: the largest tested d.
        last_failure: the largest tested d above ``dimension`` that fails: the curve is not
            monotone, so more runs are needed; ``None`` when all pass.
    """

    dimension: int | None
    score: float | None
    threshold: float
    baseline: float | None
    below: int | None
    largest: int
    last_failure: int | None


@dataclass(frozen=True)
class Spread:
    """How far the answer moves when every d has one run, drawn from those it has.

    Attributes:
        mean: of the dimension over the draws that have one; not a number where none has.
        std: the same.
        low: 2.5 % of those draws lie below.
        high: 2.5 % lie above.
        found: share of the draws that have one.
    """

    mean: float
    std: float
    low: float
    high: float
    found: float


@dataclass(frozen=True)
class Measured:
    """A measurement.

    Attributes:
        curve: one row per run: ``d`` (0 is direct training), ``seed``, ``score``.
        found: see ``IntrinsicDimension``.
        spread: see ``Spread``.
    """

    curve: pd.DataFrame
    found: IntrinsicDimension
    spread: Spread


def intrinsic_dimension(
    curve: pd.DataFrame | Iterable[tuple[int, float]],
    fraction: float = 0.9,
    baseline: float | None = None,
    *,
    threshold: float | None = None,
    reference: float | None = None,
    greater_is_better: bool = True,
) -> IntrinsicDimension:
    """The least tested d with a mean score above ``fraction`` of the baseline.

    In full: beyond reference + fraction (baseline - reference), where the reference is 0 unless
    given. A loss, or a reward that may be negative, has no fraction that means anything by itself;
    the way from a reference to the baseline has.

    Args:
        curve: columns ``d`` and ``score``, or such pairs; d = 0 is direct training.
        fraction: 0.9 for d_int90, 1.0 for d_int100; in (0, 1].
        baseline: the same for several networks ("global" in the paper); the mean score at d = 0
            where it is ``None`` ("local").
        threshold: to pass, instead of a fraction of the baseline.
        reference: the score of no training at all, such as an untrained network's loss.
        greater_is_better: false for losses.

    Raises:
        InputError: no tested d; scores that are not finite; no baseline; one that is not better
            than the reference; a loss without reference or threshold.
    """
    runs = _runs(curve)
    means = {int(d): float(np.mean(scores)) for d, scores in runs.items()}
    direct = means.pop(0, None)
    if not means:
        raise InputError("a curve needs at least one d above 0")
    if threshold is None:
        baseline = direct if baseline is None else baseline
        threshold = _threshold(fraction, baseline, reference, greater_is_better)
    else:
        baseline = None
    sign = 1 if greater_is_better else -1
    tested = sorted(means)
    passed = [d for d in tested if sign * means[d] > sign * threshold]
    largest = tested[-1]
    if not passed:
        return IntrinsicDimension(None, None, threshold, baseline, largest, largest, None)
    least = passed[0]
    smaller = [d for d in tested if d < least]
    failed = [d for d in tested if d > least and d not in passed]
    return IntrinsicDimension(
        dimension=least,
        score=means[least],
        threshold=threshold,
        baseline=baseline,
        below=max(smaller, default=None),
        largest=largest,
        last_failure=max(failed, default=None),
    )


def _threshold(
    fraction: float, baseline: float | None, reference: float | None, greater_is_better: bool
) -> float:
    if not 0 < fraction <= 1:
        raise InputError("fraction must be above 0 and at most 1", got=fraction)
    if baseline is None:
        raise InputError(
            "the curve has no direct runs (d = 0) to take a fraction of",
            hint="Add some, or give baseline or threshold",
        )
    if reference is None and not greater_is_better:
        raise InputError(
            "a fraction of a loss says nothing: 90 % of the way from a reference down to the "
            "baseline does",
            hint="Give reference, such as the untrained network's loss, or threshold",
        )
    start = reference or 0.0
    if (baseline > start) != greater_is_better or baseline == start:
        raise InputError(
            f"the baseline must be better than the reference {start:g}, or a fraction of the way "
            "leads astray",
            got=baseline,
            hint="Give threshold, or a reference that direct training improves on",
        )
    return start + fraction * (baseline - start)


def _runs(curve: pd.DataFrame | Iterable[tuple[int, float]]) -> dict[int, np.ndarray]:
    """Scores by d."""
    table = curve if isinstance(curve, pd.DataFrame) else pd.DataFrame(curve, columns=_COLUMNS)
    if missing := set(_COLUMNS) - set(table.columns):
        raise InputError(
            "a curve needs the columns 'd' and 'score'", got=f"a table without {sorted(missing)}"
        )
    if not np.isfinite(table["score"].to_numpy(dtype=float)).all():
        raise InputError("the scores of a curve must be finite")
    if (table["d"] < 0).any():
        raise InputError(
            "d must be at least 0, where 0 is direct training", got=int(table["d"].min())
        )
    return {int(d): group.to_numpy() for d, group in table.groupby("d")["score"]}


_COLUMNS = ["d", "score"]


def spread(
    curve: pd.DataFrame | Iterable[tuple[int, float]],
    fraction: float = 0.9,
    baseline: float | None = None,
    *,
    threshold: float | None = None,
    reference: float | None = None,
    greater_is_better: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Spread:
    """Draw one run for each d, direct training included, and look again; the paper's bootstrap.

    Args:
        curve: see ``intrinsic_dimension``, as are those not named here.
        draws: how often.
        seed: of the draws.
    """
    runs = _runs(curve)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = [(d, random.choice(scores)) for d, scores in runs.items()]
        found.append(
            intrinsic_dimension(
                drawn, fraction, baseline, threshold=threshold, reference=reference,
                greater_is_better=greater_is_better,
            ).dimension
        )  # fmt: skip
    known = np.array([d for d in found if d is not None], dtype=float)
    if not len(known):
        return Spread(math.nan, math.nan, math.nan, math.nan, 0.0)
    low, high = np.quantile(known, [0.025, 0.975])
    return Spread(
        float(known.mean()), float(known.std()), float(low), float(high), len(known) / draws
    )


def measure_intrinsic_dimension(
    run: Callable[[int, int], float],
    D: int,  # noqa: N803 - the paper's name
    *,
    seeds: Sequence[int] = (0, 1),
    grid: Sequence[int] | None = None,
    start: int = 16,
    precision: float = 1.25,
    fraction: float = 0.9,
    baseline: float | None = None,
    threshold: float | None = None,
    reference: float | None = None,
    greater_is_better: bool = True,
    on_run: Callable[[int, int, float], None] | None = None,
) -> Measured:
    """Train directly, then in subspaces: doubling d until it suffices, then halving the doubt.

    Args:
        run: trains from the start in a subspace of dimension d under a seed, which decides the
            initial values and P, and gives the score; d = 0 is direct training.
        D: number of parameters, the largest d.
        seeds: every d is run under each.
        grid: test these d instead of searching.
        start: first d of the search.
        precision: stop when the least d that passes is at most so many times the next smaller
            tested one, which fails.
        fraction: see ``intrinsic_dimension``, as are the following.
        baseline: given, direct training is not run.
        threshold: given, direct training is not run.
        reference: see ``intrinsic_dimension``.
        greater_is_better: see ``intrinsic_dimension``.
        on_run: told of d, seed and score after every run.

    Raises:
        InputError: no seeds; a d outside 1 to D; a precision of at most 1.
    """
    points = list(grid) if grid is not None else [start]
    if not seeds or not points or not all(1 <= d <= D for d in points) or precision <= 1:
        raise InputError(
            f"needs seeds, d in 1 to D = {D} and a precision above 1",
            got={"seeds": list(seeds), "d": points, "precision": precision},
        )
    rows: list[tuple[int, int, float]] = []

    def table() -> pd.DataFrame:
        return pd.DataFrame(rows, columns=["d", "seed", "score"])

    def look() -> IntrinsicDimension:
        return intrinsic_dimension(
            table(), fraction, baseline, threshold=threshold, reference=reference,
            greater_is_better=greater_is_better,
        )  # fmt: skip

    def test(d: int) -> None:
        for seed in seeds:
            score = run(d, seed)
            rows.append((d, seed, score))
            if on_run is not None:
                on_run(d, seed, score)

    if baseline is None and threshold is None:
        test(0)
    for d in sorted(set(points)):
        test(d)
    while grid is None:
        following = _next(look(), D, precision)
        if following is None:
            break
        test(following)
    wobble = spread(
        table(), fraction, baseline, threshold=threshold, reference=reference,
        greater_is_better=greater_is_better,
    )  # fmt: skip
    return Measured(table(), look(), wobble)


def _next(found: IntrinsicDimension, largest: int, precision: float) -> int | None:
    """The d to test next; ``None`` when enough is known."""
    if found.dimension is None:
        return min(2 * found.largest, largest) if found.largest < largest else None
    if found.below is None:
        return found.dimension // 2 or None
    middle = round(math.sqrt(found.dimension * found.below))
    if found.dimension <= precision * found.below or not found.below < middle < found.dimension:
        return None
    return middle
