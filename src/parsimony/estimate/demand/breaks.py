"""Tests for a structural break, for all series at once.

Chow (1960), at a known date: with residual sums of squares S of one regression on all n months and
S1, S2 of one before and one from the date,

    F = ((S - S1 - S2) / k) / ((S1 + S2) / (n - 2k)),   p from F(k, n - 2k).

``sup_f`` takes the largest F over the dates of a trimmed range. Its p must allow for having looked
at them all: ``simulated`` is the share of 5,000 series of independent normal noise, of the same
length, with a larger one (exact where the errors are so, since F does not depend on level, trend or
variance); ``bonferroni`` multiplies the smallest p by the count of dates; ``none`` does not allow
for it, and rejects far too often.

Regressors: ``constant``; ``trend`` (constant and month); ``ar1`` (constant and the month before,
which costs the first month). The F of ``ar1`` is only approximate in short series.

What it cannot do: tell a change of level from a missed season. Job-SDF does not say with which
recipe its published list was made.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from parsimony.core.errors import InputError

Regressors = Literal["constant", "trend", "ar1"]
Rule = Literal["simulated", "bonferroni", "none"]
TRIM = 0.15
_DRAWS = 5000


@dataclass(frozen=True, eq=False)
class Break:
    """What a test found for each series.

    Attributes:
        statistic: F, shape (series,); 0 for a series that its regression fits exactly.
        p: shape (series,).
        month: first month after the break, counted from 0, shape (series,).
    """

    statistic: np.ndarray
    p: np.ndarray
    month: np.ndarray


def chow(values: np.ndarray, month: int, regressors: Regressors = "trend") -> Break:
    """Test of a break at a known date.

    Args:
        values: shape (series, months).
        month: first month of the second part, counted from 0.
        regressors: see the module.

    Raises:
        InputError: a part too short for its regression, or an unknown name.
    """
    columns, y, first = _design(np.asarray(values, np.float64), regressors)
    f = _f(columns, y, month - first)
    k, n = columns.shape[-1], y.shape[1]
    return Break(f, stats.f.sf(f, k, n - 2 * k), np.full(len(y), month))


def sup_f(
    values: np.ndarray,
    regressors: Regressors = "trend",
    rule: Rule = "simulated",
    trim: float = TRIM,
) -> Break:
    """Test of a break at any date that leaves the share ``trim`` of the months on either side.

    Args:
        values: shape (series, months).
        regressors, rule: see the module; ``simulated`` is not for ``ar1``, whose F has no such law.
        trim: in (0, 0.5).

    Raises:
        InputError: no date is left, or an unknown name.
    """
    columns, y, first = _design(np.asarray(values, np.float64), regressors)
    k, n = columns.shape[-1], y.shape[1]
    dates = _dates(n, k, trim)
    f = np.stack([_f(columns, y, date) for date in dates], axis=1)
    best = f.argmax(axis=1)
    largest = f.max(axis=1)
    if rule == "simulated":
        if regressors == "ar1":
            raise InputError("the rule 'simulated' needs the regressors constant or trend",
                             got=regressors, hint="Use rule='bonferroni'")  # fmt: skip
        null = _null(n, regressors, trim)
        p = (1 + len(null) - np.searchsorted(null, largest, side="left")) / (1 + len(null))
    elif rule in ("bonferroni", "none"):
        p = stats.f.sf(largest, k, n - 2 * k)
        p = np.minimum(1, p * len(dates)) if rule == "bonferroni" else p
    else:
        raise InputError("the rule must be simulated, bonferroni or none", got=rule)
    return Break(largest, p, np.array(dates)[best] + first)


def _dates(months: int, k: int, trim: float) -> list[int]:
    if not 0 < trim < 0.5:
        raise InputError("the trimmed share must be between 0 and 0.5", got=trim)
    edge = max(k + 1, int(np.ceil(trim * months)))
    dates = list(range(edge, months - edge + 1))
    if not dates:
        raise InputError("a break test needs more months than its regressions take", got=months)
    return dates


@functools.cache
def _null(months: int, regressors: Regressors, trim: float) -> np.ndarray:
    """Sorted sup-F of noise."""
    noise = np.random.default_rng(0).normal(size=(_DRAWS, months))
    columns, y, _ = _design(noise, regressors)
    dates = _dates(months, columns.shape[-1], trim)
    return np.sort(np.max([_f(columns, y, date) for date in dates], axis=0))


def _design(values: np.ndarray, regressors: Regressors) -> tuple[np.ndarray, np.ndarray, int]:
    """Columns, shape (1 or series, months, k); what they explain; and its first month."""
    count, n = values.shape
    one = np.ones(n)
    if regressors == "constant":
        return one[None, :, None], values, 0
    if regressors == "trend":
        return np.stack([one, np.arange(n) - (n - 1) / 2], axis=1)[None], values, 0
    if regressors == "ar1":
        before = np.stack([np.ones((count, n - 1)), values[:, :-1]], axis=2)
        return before, values[:, 1:], 1
    raise InputError("the regressors must be constant, trend or ar1", got=regressors)


def _f(columns: np.ndarray, y: np.ndarray, date: int) -> np.ndarray:
    n, k = columns.shape[1:]
    if min(date, n - date) <= k:
        raise InputError(f"each side of a break needs more than {k} months", got=(date, n - date),
                         hint="Choose a date further inside")  # fmt: skip
    whole = _rss(columns, y)
    parts = _rss(columns[:, :date], y[:, :date]) + _rss(columns[:, date:], y[:, date:])
    # A regression that leaves nothing but rounding tells nothing.
    exact = whole <= 1e-20 * (1 + (y**2).sum(axis=1))
    parts = np.maximum(parts, np.finfo(float).tiny)
    return np.where(exact, 0.0, np.maximum(whole - parts, 0) / k / (parts / (n - 2 * k)))


def _rss(columns: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Residual sum of squares of each series, shape (series,)."""
    if len(columns) == 1:  # one design for all
        basis, _ = np.linalg.qr(columns[0])
        return ((y - (y @ basis) @ basis.T) ** 2).sum(axis=1)
    fitted = columns @ (np.linalg.pinv(columns) @ y[..., None])
    return ((y - fitted[..., 0]) ** 2).sum(axis=1)
