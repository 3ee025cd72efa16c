"""Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsimony.tune.schedules import PowerScheduler

CARD = {
    "slug": "power-scheduler",
    "title": "Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler",
    "authors": ("Shen", "Stallone", "Mishra", "Zhang", "Tan", "Prasad", "Soria", "Cox", "Panda"),
    "year": 2024,
    "arxiv": "2408.13359",
    "venue": "preprint; withdrawn ICLR 2025 submission",
    "areas": ("tune",),
    "mechanism": "tune/schedules",
    "summary": (
        "Sets the learning rate during pre-training without knowing the number of tokens in "
        "advance, and keeps it right when batch size or width changes."
    ),
    "official_code": (),
    "licence": None,
}


def power(a: float = 4.6, batch: int = 128, warmup_tokens: int = 0) -> PowerScheduler:
    """The schedule with the paper's cap and exponent."""
    import torch

    from parsimony.tune.schedules import PowerScheduler

    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.02)
    return PowerScheduler(optimizer, batch=batch, a=a, warmup_tokens=warmup_tokens)


@claim(
    name="ten-times-the-tokens",
    statement="Past the cap, ten times the tokens multiply the rate by 10^-0.51.",
    published=0.30903,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=5e-7,
)
def ten_times_the_tokens() -> Measurement:
    return Measurement(
        power().rate(1e11) / power().rate(1e10), note="rate at 1e11 over rate at 1e10 tokens"
    )


@claim(
    name="twice-the-tokens",
    statement="Past the cap, twice the tokens multiply the rate by 2^-0.51.",
    published=0.702222,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=5e-7,
)
def twice_the_tokens() -> Measurement:
    return Measurement(
        power().rate(2e10) / power().rate(1e10), note="rate at 2e10 over rate at 1e10 tokens"
    )


@claim(
    name="cap",
    statement="With beta = 128 sequences, a = 4.6, the cap of 0.02 holds until here.",
    published=578900000.0,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
    tolerance=5e4,
)
def cap() -> Measurement:
    return Measurement(power().cap_lifts_at, note="cap_lifts_at")


@claim(
    name="rate-1e9",
    statement="The rate with beta = 128 sequences, a = 4.6, at 1e9 tokens.",
    published=0.0151345,
    source="derived",
    unit="learning rate",
    direction="equal",
    level="exact",
    tolerance=5e-8,
)
def rate_1e9() -> Measurement:
    return Measurement(power().rate(1e9), note="rate")


@claim(
    name="rate-1e10",
    statement="The rate with beta = 128 sequences, a = 4.6, at 1e10 tokens.",
    published=0.004677,
    source="derived",
    unit="learning rate",
    direction="equal",
    level="exact",
    tolerance=5e-9,
)
def rate_1e10() -> Measurement:
    return Measurement(power().rate(1e10), note="rate")


@claim(
    name="rate-1e11",
    statement="The rate with beta = 128 sequences, a = 4.6, at 1e11 tokens.",
    published=0.00144533,
    source="derived",
    unit="learning rate",
    direction="equal",
    level="exact",
    tolerance=5e-9,
)
def rate_1e11() -> Measurement:
    return Measurement(power().rate(1e11), note="rate")


@claim(
    name="rate-1e12",
    statement="The rate with beta = 128 sequences, a = 4.6, at 1e12 tokens.",
    published=0.00044665,
    source="derived",
    unit="learning rate",
    direction="equal",
    level="exact",
    tolerance=5e-10,
)
def rate_1e12() -> Measurement:
    return Measurement(power().rate(1e12), note="rate")


@claim(
    name="cap-a4",
    statement="With beta = 128 sequences, a = 4, the cap of 0.02 holds until here.",
    published=440200000.0,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
    tolerance=5e4,
)
def cap_a4() -> Measurement:
    return Measurement(power(a=4).cap_lifts_at, note="cap_lifts_at")


@claim(
    name="rate-1e9-a4",
    statement="The rate with beta = 128 sequences, a = 4, at 1e9 tokens.",
    published=0.0131604,
    source="derived",
    unit="learning rate",
    direction="equal",
    level="exact",
    tolerance=5e-8,
)
def rate_1e9_a4() -> Measurement:
    return Measurement(power(a=4).rate(1e9), note="rate")


@claim(
    name="rate-1e10-batch-256",
    statement="The rate with beta = 256 sequences, a = 4.6, at 1e10 tokens.",
    published=0.00935401,
    source="derived",
    unit="learning rate",
    direction="equal",
    level="exact",
    tolerance=5e-9,
)
def rate_1e10_batch_256() -> Measurement:
    return Measurement(power(batch=256).rate(1e10), note="rate")


@claim(
    name="twice-the-batch",
    statement="Past the cap, twice the batch has twice the rate.",
    published=2,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=0.0,
)
def twice_the_batch() -> Measurement:
    return Measurement(
        power(batch=256).rate(1e10) / power().rate(1e10),
        note="rate at 1e10 tokens, beta 256 over beta 128",
    )


@claim(
    name="warm-up-halfway",
    statement="Halfway through the warm-up the rate is half of the power value at its end.",
    published=0.5,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=1e-12,
)
def warm_up_halfway() -> Measurement:
    return Measurement(
        power(warmup_tokens=10**9).rate(5e8) / power().rate(1e9),
        note="rate at half of 1e9 tokens of warm-up over the power value at 1e9",
    )


HORIZONS = (800, 2000, 5000)
"""Sequences of 64 bytes in a short, a middle and a long training: 100, 250, 625 steps of 8."""
RATES = (0.0012, 0.0036, 0.0108, 0.0324)
SEEDS = (0, 1, 2)
WARM_UP = 160
"""Sequences."""
SETTING = (
    "2 layers of width 32 on bytes, AdamW; WSD at rates 0.0012, 0.0036, 0.0108 and 0.0324, decay "
    "over the last tenth; the best rate is the vertex of a parabola in log rate"
)


def final_loss(
    batch: int, sequences: int, rate: float, seed: int, schedule: str = "wsd", **constants: float
) -> float:
    """Validation loss at the end, after a linear decay over the last tenth (a cosine has none)."""
    from parsimony.papers.byte_models import CONTEXT, Run, train_run

    total = sequences // batch * batch * CONTEXT
    stages = {"warmup_tokens": WARM_UP * CONTEXT, "total_tokens": total, **constants}
    if schedule != "cosine":
        stages["decay_tokens"] = total // 10
    run = Run(
        batch, sequences // batch, rate, seed, schedule=schedule, stages=tuple(stages.items())
    )
    return train_run(run)[run.steps]


def vertex(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """Best rate and its loss: a parabola in ln rate through the best of the rates and its two
    neighbours; the rate itself where it is at an end.
    """
    import numpy as np

    best = int(np.argmin(losses))
    if best in (0, len(rates) - 1):
        return rates[best], losses[best]
    near = slice(best - 1, best + 2)
    bend, slope, level = np.polyfit(np.log(rates[near]), losses[near], 2)
    return math.exp(-slope / (2 * bend)), float(level - slope**2 / (4 * bend))


def _swept(batch: int, sequences: int, seed: int) -> tuple[float, float]:
    """Best rate of WSD and its loss."""
    return vertex(RATES, [final_loss(batch, sequences, rate, seed) for rate in RATES])


def exponent(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """b and ln a of y = a x^b, by least squares in logarithms."""
    import numpy as np

    b, a = np.polyfit(np.log(x), np.log(y), 1)
    return float(b), float(a)


@functools.cache
def fitted() -> tuple[float, float]:
    """a (per sequence) and b of the best rates of two horizons and two batches, all seeds."""
    from parsimony.papers.byte_models import CONTEXT

    cells = [(batch, n, seed) for batch in (8, 16) for n in HORIZONS[:2] for seed in SEEDS]
    rates = [_swept(*cell)[0] / cell[0] for cell in cells]
    b, log_a = exponent([n * CONTEXT for _, n, _ in cells], rates)
    return math.exp(log_a), b


def _powered(batch: int, sequences: int, seed: int) -> float:
    a, b = fitted()
    return final_loss(batch, sequences, RATES[-1], seed, "power", a=a, b=b)


@claim(
    name="tiny-rate-falls-with-tokens",
    statement="The best rate of WSD falls with the tokens of the training.",
    published=None,
    published_text="eta_opt = beta * a * T^b with b = -0.51",
    source="paper",
    unit="exponent of tokens",
    direction="at most",
    level="cpu",
)
def tiny_rate_falls_with_tokens() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    best = {seed: [_swept(8, n, seed)[0] for n in HORIZONS] for seed in SEEDS}
    value, interval = mean_of_seeds([exponent(HORIZONS, rates)[0] for rates in best.values()])
    told = "; ".join(", ".join(f"{rate:.2g}" for rate in rates) for rates in best.values())
    return Measurement(
        value,
        interval,
        f"best rates after 100, 250, 625 steps of batch 8, by seed: {told}; {SETTING}",
        holds=interval[1] < 0,
    )


@claim(
    name="tiny-rate-rises-with-batch",
    statement="At equal tokens the best rate of WSD rises with the batch, by a power in 0.5 to 1.",
    published=0.75,
    published_text="eta_opt = beta * a * T^b",
    source="derived",
    unit="exponent of the batch",
    direction="equal",
    level="cpu",
    tolerance=0.25,
)
def tiny_rate_rises_with_batch() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    batches = (4, 8, 16, 32)
    best = {seed: [_swept(batch, HORIZONS[1], seed)[0] for batch in batches] for seed in SEEDS}
    value, interval = mean_of_seeds([exponent(batches, rates)[0] for rates in best.values()])
    told = "; ".join(", ".join(f"{rate:.2g}" for rate in rates) for rates in best.values())
    return Measurement(
        value, interval, f"best rates of batches 4, 8, 16, 32 by seed: {told}; {SETTING}"
    )


UNTUNED = (8, 32)
"""Batches of the long horizon; no run of 32 is in the fit."""


@claim(
    name="tiny-regret",
    statement="Fitted on short horizons, the power schedule is as good at a long one as a sweep.",
    published=1.0,
    source="derived",
    unit="percent of the swept WSD's loss, mean of a known and an unseen batch",
    direction="at most",
    level="cpu",
)
def tiny_regret() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    long, regrets = HORIZONS[-1], {}
    for batch in UNTUNED:
        best = [_swept(batch, long, seed)[1] for seed in SEEDS]
        regrets[batch] = [
            100 * (_powered(batch, long, seed) / loss - 1)
            for seed, loss in zip(SEEDS, best, strict=True)
        ]
    value, interval = mean_of_seeds([sum(r) / len(r) for r in zip(*regrets.values(), strict=True)])
    told = ", ".join(f"batch {b} {sum(r) / len(r):+.2f}" for b, r in regrets.items())
    a, b = fitted()
    return Measurement(
        value, interval, f"{told}; a {a:.3g}, b {b:.3f}; {len(SEEDS)} seeds; {SETTING}"
    )


@claim(
    name="tiny-against-carried-over",
    statement="It beats WSD at the rate that was best at the shortest horizon.",
    published=None,
    published_text="a smaller loss than the carried-over rate's",
    source="derived",
    unit="percent of the carried-over WSD's loss",
    direction="at least",
    level="cpu",
)
def tiny_against_carried_over() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    short, long = HORIZONS[0], HORIZONS[-1]
    carried = math.exp(sum(math.log(_swept(8, short, seed)[0]) for seed in SEEDS) / len(SEEDS))
    gains = []
    for seed in SEEDS:
        pairs = [
            (final_loss(batch, long, carried, seed), _powered(batch, long, seed))
            for batch in UNTUNED
        ]
        gains.append(100 * sum(1 - power / wsd for wsd, power in pairs) / len(pairs))
    value, interval = mean_of_seeds(gains)
    note = f"carried over from batch 8: {carried:.2g}; mean of batches 8 and 32; {len(SEEDS)} seeds"
    return Measurement(value, interval, note, holds=interval[0] > 0)


@claim(
    name="tiny-anytime",
    statement="One power run, ended at 25, 50 or 100 %, does what a cosine of that length does.",
    published=1.5,
    source="derived",
    unit="percent of the cosine's loss, worst of the three means",
    direction="at most",
    level="cpu",
)
def tiny_anytime() -> Measurement:
    from parsimony.papers.byte_models import CONTEXT, mean_of_seeds

    a, b = fitted()
    excess = {}
    for share in (0.25, 0.5, 1.0):
        length = int(share * HORIZONS[-1])
        rate = 8 * a * (length * CONTEXT) ** b
        excess[share] = [
            100 * (_powered(8, length, seed) / final_loss(8, length, rate, seed, "cosine") - 1)
            for seed in SEEDS
        ]
    worst = max(excess, key=lambda share: sum(excess[share]))
    value, interval = mean_of_seeds(excess[worst])
    told = ", ".join(f"{share:.0%} {sum(e) / len(e):+.2f}" for share, e in excess.items())
    return Measurement(
        value,
        interval,
        f"{told}; cosine to a tenth from the fitted rate of its length; branches share the run up "
        f"to their decay, so all cost 1.075 runs and the cosines 1.75; {len(SEEDS)} seeds",
        holds=interval[1] <= 1.5,
    )
