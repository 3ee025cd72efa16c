"""Every forecaster on every subset by every metric, with intervals and a paired comparison.

The interval of a MAE, and of its difference to the naive forecast, is a bootstrap over windows and
skills (``core.trials``): the series of one skill are resampled together, and beyond 500 skills in
500 random bundles. Where the interval of the difference spans zero, no difference was found.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from parsimony.core import trials
from parsimony.estimate.demand import metrics

BUNDLES = 500
REFERENCE = "naive"
NONE_FOUND = "no difference found"
COLUMNS = ("estimate", "low", "high", "difference", "difference_low", "difference_high", "verdict")


def summary(
    actual: np.ndarray,
    forecasts: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    clusters: np.ndarray,
    scale: np.ndarray,
    quantiles: Mapping[str, Mapping[float, np.ndarray]] | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score everything.

    Args:
        actual: shape (series, windows, horizon).
        forecasts: of each model, same shape; ``naive`` among them, to compare with.
        masks: subsets, each of shape (series,); an empty one is left out.
        clusters: label of each series, the skill, shape (series,).
        scale: of MASE, shape (series,).
        quantiles: of each model, for ``pinball``.
        groups: label of each series, for ``fairness``.
        seed: of the resampling.

    Returns:
        index (model, subset, metric); columns ``COLUMNS``; intervals stand with the MAE.
    """
    rows: dict[tuple[str, str, str], list[object]] = {}
    for subset, mask in masks.items():
        if not mask.any():
            continue
        truth = actual[mask]
        errors = {
            name: _pooled(np.abs(found[mask] - truth), clusters[mask], seed)
            for name, found in forecasts.items()
        }
        for name, found in forecasts.items():
            scored = metrics.score(truth, found[mask], scale[mask])
            if quantiles is not None:
                scored["pinball"] = metrics.pinball(
                    truth, {q: ends[mask] for q, ends in quantiles[name].items()}
                )
            if groups is not None and len(set(groups[mask])) > 1:
                scored["fairness"] = metrics.fairness(truth, found[mask], groups[mask])
            for metric, value in scored.items():
                number = np.nan if value is None else value
                rows[name, subset, metric] = [number, *[np.nan] * 5, ""]
            rows[name, subset, "mae"] = [
                scored["mae"], *_compared(errors[name], errors[REFERENCE], name, seed)
            ]  # fmt: skip
    index = pd.MultiIndex.from_tuples(rows, names=["model", "subset", "metric"])
    return pd.DataFrame(list(rows.values()), index=index, columns=list(COLUMNS))


def _pooled(errors: np.ndarray, clusters: np.ndarray, seed: int) -> np.ndarray:
    """Errors of the clusters, shape (windows, clusters), whose mean is that of the errors."""
    codes, names = pd.factorize(clusters)
    count = len(names)
    if count > BUNDLES:
        codes = np.random.default_rng(seed).permutation(count)[codes] % BUNDLES
        count = BUNDLES
    sums = np.stack([np.bincount(codes, e, count) for e in errors.mean(axis=2).T])
    return sums * count / len(errors)


def _compared(errors: np.ndarray, reference: np.ndarray, name: str, seed: int) -> list[object]:
    own = trials.bootstrap(errors, seed=seed)
    if name == REFERENCE:
        return [own.low, own.high, 0.0, 0.0, 0.0, "reference"]
    gap = trials.paired(errors, reference, seed=seed)
    verdict = NONE_FOUND if gap.spans_zero else "better" if gap.estimate < 0 else "worse"
    return [own.low, own.high, gap.estimate, gap.low, gap.high, verdict]


def wide(found: pd.DataFrame, subset: str) -> pd.DataFrame:
    """One subset of a summary: a row for each model, best MAE first, a column for each metric."""
    part = found.xs(subset, level="subset")
    table = part["estimate"].unstack("metric")
    mae = part.xs("mae", level="metric")
    table = table.join(mae[["low", "high", "difference", "difference_low", "difference_high",
                            "verdict"]])  # fmt: skip
    return table.sort_values("mae", kind="stable")
