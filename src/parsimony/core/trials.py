"""Paired comparisons over seeds and held-out rows, with intervals.

A candidate's scores are a matrix (seeds, rows). Two candidates are compared on the same seeds
and the same rows, so that what they share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsimony.core.errors import InputError

CONFIDENCE = 0.95
RESAMPLES = 4000
_BLOCK = 500  # resamples drawn at once; bounds memory on many rows


@dataclass(frozen=True)
class Interval:
    """A point estimate and its bootstrap interval.

    Attributes:
        estimate: mean over seeds and rows.
        low: lower end.
        high: upper end.
    """

    estimate: float
    low: float
    high: float

    @property
    def spans_zero(self) -> bool:
        """No difference found: zero is inside the closed interval."""
        return self.low <= 0.0 <= self.high

    def as_dict(self) -> dict[str, float]:
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def bootstrap(
    scores: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile interval of the mean of ``scores`` over resampled seeds and rows.

    Both are resampled with replacement, independently, for every resample (the crossed form of
    the hierarchical bootstrap: Davison and Hinkley 1997, section 3.8; Owen 2007), because all
    seeds are scored on the same rows. Pass a difference of two matrices for a paired comparison.

    Args:
        scores: shape (seeds, rows), finite.
        seed: of the resampling; the same seed gives every comparison the same resamples.
        resamples: at least 2,000.
        confidence: coverage asked for, in (0, 1).

    Raises:
        InputError: wrong shape, an empty axis, a value that is not finite, too few resamples.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise InputError("scores must have shape (seeds, rows), none empty", got=scores.shape)
    if not np.isfinite(scores).all():
        raise InputError("scores must be finite")
    if resamples < 2000 or not 0 < confidence < 1:
        raise InputError(
            "an interval needs at least 2000 resamples and a confidence in (0, 1)",
            got=(resamples, confidence),
        )
    seeds, rows = scores.shape
    random = np.random.default_rng(seed)
    by_seed = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    means = np.empty(resamples)
    for start in range(0, resamples, _BLOCK):
        block = slice(start, min(start + _BLOCK, resamples))
        by_row = random.multinomial(rows, np.full(rows, 1 / rows), size=len(means[block]))
        means[block] = np.einsum("bs,bs->b", by_seed[block], by_row @ scores.T)
    means /= seeds * rows  # last, so that whole scores add up exactly and a zero end is zero
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(scores.mean()), float(low), float(high))


def paired(first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> Interval:
    """Interval of the mean of ``first - second``; both of shape (seeds, rows), same order.

    Raises:
        InputError: shapes that differ.
    """
    if first.shape != second.shape:
        raise InputError(
            "paired scores need the same seeds and rows", got=(first.shape, second.shape)
        )
    return bootstrap(first - second, seed=seed)
