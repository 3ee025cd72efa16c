"""One evaluation for every model: Job-SDF's metrics, with what they leave undefined defined.

``actual`` and ``forecast`` have shape (series, windows, horizon), and a mean is over all three.
With e = p - y:

    MAE, RMSE
    SMAPE   = 100 mean |e| / (|p| + |y|), from 0 to 100; 0/0 counts as 0, and its share is told
    RRMSE   = 100 sqrt(mean e^2 / mean y^2); ``rrmse_pred`` divides by mean p^2, as the official
              code does, which makes forecasts that are too high look better
    fairness = variance, over groups, of their MAE
    MASE    = mean over series of MAE / mean |y_t - y_(t-1)| of the training months; a series that
              is constant there has none and is left out
    WAPE    = sum |e| / sum |y|
    pinball = 2 sum over quantiles of max(q (y - p), (q - 1) (y - p)), over quantiles and sum |y|

The official code drops the last, smaller batch of its test loader. Here the whole array is scored.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError

NAMES = ("mae", "rmse", "smape", "rrmse_pred", "rrmse", "mase", "wape")


def smape_terms(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """100 |p - y| / (|p| + |y|) of each value, 0 where both are 0."""
    both = np.abs(forecast) + np.abs(actual)
    error = np.abs(forecast - actual)
    return 100 * np.divide(error, both, out=np.zeros_like(both), where=both > 0)


def steps(history: np.ndarray) -> np.ndarray:
    """Mean |y_t - y_(t-1)| of each series, shape (series,): the scale of MASE.

    Args:
        history: training months, shape (series, months).
    """
    return np.abs(np.diff(history, axis=1)).mean(axis=1)


def score(
    actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray | None = None
) -> dict[str, float | None]:
    """Every metric of ``NAMES``, and the share of 0/0 in SMAPE.

    Args:
        actual, forecast: shape (series, windows, horizon).
        scale: of MASE, from ``steps``, shape (series,); without it there is no MASE.

    Returns:
        name to value; ``None`` where its denominator is 0.

    Raises:
        InputError: shapes differ, something is empty or not finite.
    """
    actual, forecast = _checked(actual, forecast)
    error = forecast - actual
    mse = float((error**2).mean())
    absolute = np.abs(error)
    found: dict[str, float | None] = {
        "mae": float(absolute.mean()),
        "rmse": mse**0.5,
        "smape": float(smape_terms(actual, forecast).mean()),
        "smape_zero_share": float(((actual == 0) & (forecast == 0)).mean()),
        "rrmse_pred": _share(mse, float((forecast**2).mean()), root=True),
        "rrmse": _share(mse, float((actual**2).mean()), root=True),
        "mase": None,
        "wape": _share(float(absolute.sum()), float(np.abs(actual).sum())),
    }
    if scale is not None and (scale > 0).any():
        moving = scale > 0
        found["mase"] = float((absolute.mean(axis=(1, 2))[moving] / scale[moving]).mean())
    return found


def by_group(
    actual: np.ndarray, forecast: np.ndarray, groups: np.ndarray, scale: np.ndarray | None = None
) -> pd.DataFrame:
    """``score`` of each group, one row each, sorted.

    Args:
        actual, forecast, scale: as in ``score``.
        groups: labels, shape (series,).
    """
    rows = {
        name: score(actual[groups == name], forecast[groups == name],
                    None if scale is None else scale[groups == name])
        for name in sorted(set(groups))
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("group")


def fairness(actual: np.ndarray, forecast: np.ndarray, groups: np.ndarray) -> float:
    """Variance (population) over groups of their MAE; 0 for one group."""
    actual, forecast = _checked(actual, forecast)
    per_series = np.abs(forecast - actual).mean(axis=(1, 2))
    codes, names = pd.factorize(groups)
    means = np.bincount(codes, per_series) / np.bincount(codes, minlength=len(names))
    return float(means.var())


def pinball(actual: np.ndarray, quantiles: dict[float, np.ndarray]) -> float | None:
    """Weighted pinball loss; each forecast quantile has the shape of ``actual``."""
    total = sum(
        float(np.maximum(q * (actual - p), (q - 1) * (actual - p)).sum())
        for q, p in quantiles.items()
    )
    return _share(2 * total / len(quantiles), float(np.abs(actual).sum()))


def _share(over: float, under: float, root: bool = False) -> float | None:
    if under == 0:
        return None
    return 100 * (over / under) ** 0.5 if root else over / under


def _checked(actual: np.ndarray, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    actual, forecast = np.asarray(actual, np.float64), np.asarray(forecast, np.float64)
    if actual.shape != forecast.shape or actual.ndim != 3 or not actual.size:
        raise InputError(
            "actual and forecast need one shape (series, windows, horizon), not empty",
            got=(actual.shape, forecast.shape),
        )
    if not (np.isfinite(actual).all() and np.isfinite(forecast).all()):
        raise InputError("what is scored must be finite",
                         hint="A forecaster returned no number for some series")  # fmt: skip
    return actual, forecast
