"""Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
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
