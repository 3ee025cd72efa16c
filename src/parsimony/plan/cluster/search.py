"""Searching layouts where each costs a run, and how much each knob matters.

The search is Optuna's TPE over the knobs of a plan. Most draws cannot work; for each the nearest
layout that does, and was not tried yet, is run in its stead, so that no trial is lost to what the
plan knows. A run that fails all the same is recorded with its error, and the search goes on.

Importances are exact Shapley values, by enumeration of all subsets of the knobs over the full
table: of the variance of the figure (Song, Nelson and Staum 2016), or of one layout's distance
from the mean. A subset's worth is its conditional expectation over the layouts that work, so that
knobs which constrain each other share what they explain together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError, ParsimonyError
from parsimony.plan.cluster.layouts import KNOBS


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        best: the row of the plan with the highest figure.
        value: its figure.
        trials: the knobs of each layout that was tried, its ``value`` (NaN where it failed) and
            the ``problem`` it failed with, in order.
    """

    best: pd.Series
    value: float
    trials: pd.DataFrame


def search(
    table: pd.DataFrame,
    evaluate: Callable[[pd.Series], float],
    trials: int = 60,
    seed: int = 0,
    random: bool = False,
) -> Found:
    """Look for the layout with the highest figure.

    Args:
        table: as ``layouts.plan`` returns it.
        evaluate: figure of a row, higher is better; what it raises is recorded as a failed trial.
        trials: layouts to try.
        seed: of the sampler.
        random: draw uniformly, as the baseline does.

    Raises:
        InputError: the plan has no layout that works, or all that were tried failed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    works = table[table["reason"] == ""]
    if works.empty:
        raise InputError("a search needs a layout that works", hint=table["reason"].iloc[0])
    samplers, states = optuna.samplers, optuna.trial.TrialState
    sampler = samplers.RandomSampler(seed) if random else samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    knobs = varied(works)
    order = {knob: pd.factorize(works[knob], sort=True)[0] for knob in knobs}
    ranks = pd.DataFrame(order, index=works.index).to_numpy()
    most = ranks.max(axis=0)
    choices = {
        knob: optuna.distributions.CategoricalDistribution(range(top + 1))
        for knob, top in zip(knobs, most.tolist(), strict=True)
    }
    distance = np.zeros(len(works))
    told: list[dict[str, Any]] = []
    best: tuple[float, pd.Series] | None = None
    for _ in range(min(trials, len(works))):
        asked = study.ask(choices)
        drawn = np.array([asked.params[knob] for knob in knobs])
        at = int(np.argmin((np.abs(ranks - drawn) / most).sum(axis=1) + distance))
        distance[at] = np.inf  # once is enough
        row = works.iloc[at]
        try:
            value, problem = float(evaluate(row)), ""
            if not math.isfinite(value):
                raise ParsimonyError("a figure must be finite", got=value)
        except Exception as error:  # a run that dies must not end the search
            value, problem = float("nan"), f"{type(error).__name__}: {error}"
        if not problem and (best is None or value > best[0]):
            best = (value, row)
        told.append({**row[list(KNOBS)], "value": value, "problem": problem})
        # What was run is told, not what was drawn. TPE learns from pruned trials, not failed ones.
        study.tell(asked, state=states.FAIL)
        study.add_trial(
            optuna.trial.create_trial(
                state=states.PRUNED if problem else states.COMPLETE,
                value=None if problem else value,
                params=dict(zip(knobs, ranks[at].tolist(), strict=True)),
                distributions=choices,
            )
        )
    if best is None:
        raise InputError(f"all {trials} layouts failed; the last one: {told[-1]['problem']}")
    return Found(best[1], best[0], pd.DataFrame(told))


def varied(table: pd.DataFrame) -> list[str]:
    """The knobs that have more than one value in a table."""
    return [knob for knob in KNOBS if table[knob].nunique() > 1]


def importances(table: pd.DataFrame, figure: str = "samples_per_second") -> pd.Series:
    """Share of the variance of a figure that each knob explains, largest first; they add up to 1.

    Args:
        table: as ``layouts.plan`` returns it; only the layouts that work count.
        figure: a column.

    Raises:
        InputError: fewer than two layouts work, or all have the same figure.
    """
    works = table[table["reason"] == ""]
    knobs = varied(works)
    total = works[figure].var(ddof=0) if len(works) else 0.0
    if not total > 0:
        raise InputError(f"the layouts that work must differ in {figure}", got=len(works))

    def explained(subset: tuple[str, ...]) -> float:
        means = works.groupby(list(subset))[figure].transform("mean")
        return float(means.var(ddof=0) / total)

    return _shapley(knobs, explained).sort_values(ascending=False, kind="stable")


def explain(table: pd.DataFrame, row: pd.Series, figure: str = "samples_per_second") -> pd.Series:
    """By how much each knob of a layout moves its figure away from the mean; they add up to that.

    Args:
        table: as ``layouts.plan`` returns it; only the layouts that work count.
        row: one of them.
        figure: a column.
    """
    works = table[table["reason"] == ""]
    same = {knob: works[knob] == row[knob] for knob in varied(works)}

    def moved(subset: tuple[str, ...]) -> float:
        alike = pd.concat([same[knob] for knob in subset], axis=1).all(axis=1)
        return float(works.loc[alike, figure].mean() - works[figure].mean())

    return _shapley(list(same), moved)


def _shapley(knobs: list[str], worth: Callable[[tuple[str, ...]], float]) -> pd.Series:
    """Shapley value of each knob in the game ``worth``; that of no knob is 0.

    phi_i = sum over subsets S without i of (worth(S + i) - worth(S)) / (n C(n - 1, |S|))
    """
    n = len(knobs)
    subsets = [s for size in range(1, n + 1) for s in combinations(knobs, size)]
    known = {(): 0.0, **{subset: worth(subset) for subset in subsets}}
    values = dict.fromkeys(knobs, 0.0)
    for subset in subsets:
        for knob in subset:
            rest = tuple(k for k in subset if k != knob)
            values[knob] += (known[subset] - known[rest]) / (n * comb(n - 1, len(rest)))
    return pd.Series(values, dtype=float)
