"""Peak learning rate and batch size for one run by the published Step Law, and its caveats."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from parsimony.core.errors import InputError
from parsimony.core.fitting.law import Array
from parsimony.plan.laws.step_law import FEW_TOKENS
from parsimony.plan.laws.step_law.rivals import RIVALS, step_batch, step_rate

# Of the 1,000 bootstrap fits in the official repository (data/steplaw_bootstrap_1000.csv): means
# of (ln factor, exponent of N, exponent of D) and of (ln factor, exponent of D), and covariances.
RATE_MEAN = np.array([0.58630779074, -0.712922291187, 0.307490950412])
BATCH_MEAN = np.array([-0.54354217361, 0.57094436469])
RATE_COVARIANCE = np.array([
    [0.3890621114877448, -0.013558938970776157, -0.005132493532093748],
    [-0.013558938970776157, 0.0008914857372464487, -0.00017433178852566721],
    [-0.005132493532093748, -0.00017433178852566721, 0.00036631184290429847],
])  # fmt: skip
BATCH_COVARIANCE = np.array([
    [0.1911796358740655, -0.008151572248019927],
    [-0.008151572248019927, 0.00034851793949566286],
])  # fmt: skip

WARM_UP = 2000
FINAL_RATE = 1e-5
FIXED_FINAL_RATE = "cosine-fixed"
SCHEDULES = (FIXED_FINAL_RATE, "cosine-fraction", "wsd", "constant", "other")


@dataclass(frozen=True)
class Advice:
    """What to train with.

    Attributes:
        lr: peak learning rate.
        lr_interval: 95 %, of the bootstrap of the published fit.
        batch_tokens: tokens per step.
        batch_interval: 95 %, as above.
        sequences: per step, not rounded.
        steps: D over batch_tokens.
        notes: what speaks against it.
    """

    lr: float
    lr_interval: tuple[float, float]
    batch_tokens: float
    batch_interval: tuple[float, float]
    sequences: float
    steps: float
    notes: tuple[str, ...]


def bootstrap_mean(N: float, D: float) -> tuple[float, float]:
    """Rate and tokens per step of the mean bootstrap, which the official command prints."""
    rate, batch = _terms(N, D)
    return math.exp(float(rate @ RATE_MEAN)), math.exp(float(batch @ BATCH_MEAN))


def advise(
    N: float,
    D: float,
    *,
    schedule: str | None = None,
    sequence: int = 2048,
    active: float | None = None,
    batch: float | None = None,
) -> Advice:
    """Ask the published law (rounded constants).

    Args:
        N: parameters without vocabulary; of a mixture of experts all, not the active ones.
        D: training tokens.
        schedule: of the learning rate, one of ``SCHEDULES``; it must be named, since the sign of
            the exponent of D depends on it.
        sequence: tokens of a sequence.
        active: active parameters of a mixture of experts, to show what they would give.
        batch: tokens per step that the user has in mind, to be checked.

    Raises:
        InputError: no schedule; not positive; a batch that looks like sequences; N or D more than
            30 times outside the domain of the law.
    """
    if schedule not in SCHEDULES:
        raise InputError(
            "the Step Law belongs to a cosine schedule that ends at a fixed rate (1e-5), and the "
            "schedule must be named",
            got=schedule,
            hint=f"Known: {', '.join(SCHEDULES)}",
        )
    if not (N > 0 and D > 0 and sequence > 0 and math.isfinite(N * D)):
        raise InputError("N, D and the sequence must be positive", got=(N, D, sequence))
    if batch is not None and batch < FEW_TOKENS:
        raise InputError(
            f"a batch is in tokens per step, and fewer than {FEW_TOKENS} look like sequences",
            got=batch,
            hint=f"Is it {batch * sequence:.6g} tokens?",
        )
    if reason := RIVALS["step-law"].outside({"N": N, "D": D}):
        raise InputError(f"the Step Law is asked {reason}", hint="Fit a grid of runs of your own")
    rate, tokens = step_rate(N, D), step_batch(D)
    if tokens < FEW_TOKENS:
        raise InputError(
            f"a batch of {tokens:.4g} tokens is too small to be meant", got=D,
            hint="Is D in tokens?",
        )  # fmt: skip
    terms = _terms(N, D)
    return Advice(
        lr=rate,
        lr_interval=_interval(rate, terms[0], RATE_COVARIANCE),
        batch_tokens=tokens,
        batch_interval=_interval(tokens, terms[1], BATCH_COVARIANCE),
        sequences=tokens / sequence,
        steps=D / tokens,
        notes=tuple(_notes(N, D, schedule, active, batch, tokens)),
    )


def _notes(
    N: float, D: float, schedule: str | None, active: float | None, batch: float | None, best: float
) -> list[str]:
    notes = []
    if not 10 <= D / N <= 500:
        notes.append(f"extrapolation: {D / N:.3g} tokens per parameter, outside 10 to 500")
    if not 0.05e9 <= N <= 10e9:
        notes.append(f"extrapolation: N = {N:.3g} is outside 0.05B to 10B")
    if schedule != FIXED_FINAL_RATE:
        notes.append(
            f"the law was measured with a cosine to a fixed final rate; with '{schedule}' the "
            "sign of the exponent of D may change"
        )
    taken = best if batch is None else batch
    if taken > D / 1000:
        notes.append(f"{D / taken:.3g} steps are fewer than 1000")
    if D / taken < WARM_UP:
        notes.append(f"the law's warm-up of {WARM_UP} steps is longer than the run")
    if active is not None:
        notes.append(
            f"of a mixture of experts N is all {N:.4g} parameters (lr {step_rate(N, D):.4g}), not "
            f"the {active:.4g} active ones (lr {step_rate(active, D):.4g})"
        )
    return notes


def _terms(N: float, D: float) -> tuple[Array, Array]:
    return np.array([1.0, math.log(N), math.log(D)]), np.array([1.0, math.log(D)])


def _interval(value: float, terms: Array, covariance: Array) -> tuple[float, float]:
    half = 1.96 * math.sqrt(float(terms @ covariance @ terms))
    return value * math.exp(-half), value * math.exp(half)
