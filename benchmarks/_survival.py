"""What a survival fit costs beside lifelines' AFT regressions at equal likelihood, on one thread.

Two covariates, 30 % censored, times drawn from the very model. The two log-likelihoods must agree
within 1e-3 relative, or nothing is printed. lifelines is left out at a million rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from _rows import FEWEST, Row, spent

from parsimony.core.errors import ParsimonyError
from parsimony.estimate.survival import SurvivalRegressor, family

SIZES = (1_000, 10_000, 100_000)
ALONE = 1_000_000
QUICK = (1_000,)
AGREE = 1e-3
KINDS = {"weibull": ("WeibullAFTFitter", 1.0), "log-logistic": ("LogLogisticAFTFitter", 0.0)}


def table(rows: int, kappa: float, seed: int = 0) -> pd.DataFrame:
    """x, z, time, event."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=rows), random.integers(0, 2, rows).astype(float)
    times = family.simulate(random, np.exp(0.3 * x - 0.5 * z - 3), 1.0, 1.5, kappa)
    ends = random.exponential(45.0, rows)
    return pd.DataFrame(
        {"x": x, "z": z, "time": np.minimum(times, ends), "event": (times <= ends).astype(int)}
    )


def rows(quick: bool = False) -> list[Row]:
    """Time of lifelines over ours by family and size, and our time per row against that at 1,000.

    Args:
        quick: a thousand rows alone.

    Raises:
        ParsimonyError: the two fits are not the same.
    """
    found = []
    for kind, (peer, kappa) in KINDS.items():
        for size in QUICK if quick else SIZES:
            data = table(size, kappa)
            ours, theirs = _ours(kind, data), _theirs(peer, data)
            apart = abs(ours() / theirs() - 1)
            if not apart < AGREE:
                raise ParsimonyError(f"the two {kind} fits must be the same", got=apart)
            name = f"{kind} AFT, {size:,} rows: lifelines over ours"
            found.append(Row(name, "ratio", tuple(_turns(ours, theirs))))
    if not quick:
        small, large = (_ours("weibull", table(size, 1.0)) for size in (SIZES[0], ALONE))
        found.append(
            Row(
                f"weibull AFT, {ALONE:,} rows over {SIZES[0]:,}: time per row",
                "ratio",
                tuple(spent(large) / spent(small) * SIZES[0] / ALONE for _ in range(FEWEST)),
            )
        )
    return found


def _turns(ours: Callable[[], float], theirs: Callable[[], float]) -> list[float]:
    """Ratios of processor time; the first of a turn changes."""
    found = []
    for repetition in range(FEWEST):
        calls = (ours, theirs) if repetition % 2 else (theirs, ours)
        times = {call: spent(call) for call in calls}
        found.append(times[theirs] / times[ours])
    return found


def _ours(kind: str, data: pd.DataFrame) -> Callable[[], float]:
    def call() -> float:
        covariates, outcome = data[["x", "z"]], data[["time", "event"]]
        return SurvivalRegressor(kind).fit(covariates, outcome).log_likelihood_

    return call


def _theirs(peer: str, data: pd.DataFrame) -> Callable[[], float]:
    import lifelines

    def call() -> float:
        return float(getattr(lifelines, peer)().fit(data, "time", "event").log_likelihood_)

    return call
