"""How many trained parameters are enough: thresholds of a table of accuracy by budget.

Su et al. 2023 (arXiv 2306.02320, section 5) ask for the smallest budget that beats guessing and
for the smallest that reaches full fine-tuning. Here both are read off the same kind of curve,
made non-decreasing in the budget and interpolated in its logarithm, with an interval from
resampled seeds. A curve of one learning rate measures the rate: few scalars need larger steps
than many, so search it for every budget before the table is made.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import isotonic_regression
from scipy.stats import binom

from parsimony.core.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """A smallest sufficient budget.

    Attributes:
        budget: scalars; the smallest of the table where that suffices already, infinite where
            the largest does not.
        low: end of the 95 % interval over resampled seeds, bounded by the table likewise.
        high: the other end.
        accuracy: what had to be reached, in [0, 1].
    """

    budget: float
    low: float
    high: float
    accuracy: float


def budget_curve(
    run: Callable[[int, int, float], tuple[float, float]],
    *,
    budgets: Sequence[int],
    seeds: Sequence[int],
    rates: Sequence[float],
) -> pd.DataFrame:
    """Train at every budget, with the learning rate searched for each budget and seed.

    Args:
        run: trains with a budget, a seed of the places and a learning rate; returns accuracy on
            validation and on test rows, in [0, 1].
        budgets: scalars, positive.
        seeds: of the places.
        rates: learning rates; that of the best validation accuracy is kept, the lowest of equals.

    Returns:
        One row per budget and seed: ``budget``, ``seed``, ``learning_rate``, ``validation`` and
        ``accuracy`` (test); a table for the functions below.
    """
    if len(rates) == 1 and len(budgets) > 1:
        warnings.warn(
            f"one learning rate, {rates[0]:g}, for all budgets compares rates, not budgets: few "
            "scalars need larger steps",
            stacklevel=2,
        )
    rows = []
    for budget, seed in itertools.product(budgets, seeds):
        found = [(run(budget, seed, rate), rate) for rate in sorted(rates)]
        (validation, test), rate = max(found, key=lambda item: item[0][0])
        rows.append((budget, seed, rate, validation, test))
    columns = ["budget", "seed", "learning_rate", "validation", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def spread(table: pd.DataFrame) -> pd.DataFrame:
    """``budget``, ``mean``, ``std`` (of a sample) and ``seeds``: what the place of scalars does.

    Args:
        table: ``budget``, ``seed``, ``accuracy``; one row per run.

    Raises:
        InputError: a column is missing; a value is not finite or out of range.
    """
    _check(table)
    grouped = table.groupby("budget")["accuracy"]
    found = grouped.agg(mean="mean", std="std", seeds="size")
    return found.reset_index()


def beats_guessing(accuracy: float, rows: int, chance: float, level: float = 0.05) -> bool:
    """Whether so many right answers are too many for guessing: one-sided binomial test.

    Args:
        accuracy: share of right answers, in [0, 1].
        rows: answers given.
        chance: share of the most frequent label, or one over the number of labels.
        level: of significance.
    """
    return accuracy >= _needed(rows, chance, level) - 0.5 / rows  # shares are rounded


def t_low(
    table: pd.DataFrame,
    *,
    rows: int,
    chance: float,
    level: float = 0.05,
    share: float = 0.8,
    resamples: int = 500,
    seed: int = 0,
) -> Threshold:
    """Smallest budget at which at least ``share`` of the seeds beat guessing.

    Args:
        table: see ``spread``.
        rows: of the test set.
        chance: accuracy of guessing, in (0, 1).
        level: of each seed's binomial test.
        share: of the seeds, in (0, 1].
        resamples: of the seeds, for the interval.
        seed: of the resampling.
    """
    if not 0 < chance < 1 or rows < 1:
        raise InputError("chance must be between 0 and 1, and rows positive", got=(chance, rows))

    def agreed(values: Floats) -> float:
        """The accuracy that ``share`` of the seeds reach."""
        return float(np.sort(values)[len(values) - math.ceil(share * len(values))])

    goal = _needed(rows, chance, level)
    return _threshold(table, agreed, [goal], resamples, seed)


def t_high(
    table: pd.DataFrame,
    *,
    full: Sequence[float],
    margin: float = 0.01,
    resamples: int = 500,
    seed: int = 0,
) -> Threshold:
    """Smallest budget whose mean accuracy is at most ``margin`` below full fine-tuning.

    Args:
        table: see ``spread``.
        full: accuracies of full fine-tuning, one per seed; resampled too.
        margin: in accuracy, 0.01 for one point.
        resamples: of the seeds, for the interval.
        seed: of the resampling.
    """
    if not len(full):
        raise InputError("full fine-tuning needs at least one accuracy")
    return _threshold(table, lambda values: float(values.mean()), full, resamples, seed, margin)


def _needed(rows: int, chance: float, level: float) -> float:
    """Least share of right answers of which so many or more happen by chance below ``level``."""
    hits = int(binom.isf(level, rows, chance)) + 1
    while binom.sf(hits - 1, rows, chance) >= level:
        hits += 1
    return hits / rows


def _threshold(
    table: pd.DataFrame,
    statistic: Callable[[Floats], float],
    goals: Sequence[float],
    resamples: int,
    seed: int,
    margin: float = 0.0,
) -> Threshold:
    _check(table)
    runs = {
        float(budget): group.to_numpy(float)  # type: ignore[arg-type]
        for budget, group in table.sort_values("budget").groupby("budget")["accuracy"]
    }
    budgets, reference = np.array(list(runs)), np.asarray(goals, float)
    random = np.random.default_rng(seed)

    def resampled(values: Floats) -> Floats:
        return random.choice(values, len(values))

    def crossed(values: list[Floats], goal: float) -> float:
        return crossing(budgets, np.array([statistic(v) for v in values]), goal - margin)

    draws = [
        crossed([resampled(v) for v in runs.values()], float(resampled(reference).mean()))
        for _ in range(resamples)
    ]
    # Among draws, not between them: an infinite one has no neighbour to be averaged with.
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    goal = float(reference.mean())
    return Threshold(crossed(list(runs.values()), goal), float(low), float(high), goal - margin)


def crossing(budgets: Floats, values: Floats, goal: float) -> float:
    """Where the non-decreasing curve nearest to ``values`` reaches ``goal``.

    Args:
        budgets: ascending and positive; shape (n,).
        values: shape (n,).
        goal: in the unit of ``values``.

    Returns:
        Interpolated linearly in log10(budget); the first budget where it reaches ``goal``
        already, infinity where the last does not.
    """
    logs = np.log10(budgets)
    smooth = isotonic_regression(values).x
    reached = np.flatnonzero(smooth >= goal - 1e-12)
    if not len(reached):
        return math.inf
    i = int(reached[0])
    if i == 0:
        return float(budgets[0])
    part = (goal - smooth[i - 1]) / (smooth[i] - smooth[i - 1])
    return float(10 ** (logs[i - 1] + min(part, 1.0) * (logs[i] - logs[i - 1])))


def _check(table: pd.DataFrame) -> None:
    missing = {"budget", "seed", "accuracy"} - set(table.columns)
    if missing or table.empty:
        raise InputError("a table of runs needs rows of budget, seed and accuracy",
                         got=list(table.columns))  # fmt: skip
    good = table["accuracy"].between(0, 1) & (table["budget"] > 0)
    if not good.all():
        raise InputError("budgets must be positive and accuracies from 0 to 1",
                         got=table.loc[~good].iloc[0].to_dict())  # fmt: skip
    twice = table.loc[table.duplicated(["budget", "seed"])]
    if len(twice):
        raise InputError(
            "a table of runs needs one row per budget and seed", got=twice.iloc[0].to_dict(),
            hint="Keep the run of the learning rate that validation chose",
        )  # fmt: skip
