# Long because every figure that can be checked is a claim of its own.
"""Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

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
SEEDS = (5, 6, 7, 8, 9)
"""Others than 0 to 4, which were seen while rates, lengths and the number of seeds were chosen."""
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
    """Best rate and its loss, as ``best_rate``; of the rates themselves where it is at an end."""
    import numpy as np

    from parsimony.core.errors import InputError
    from parsimony.plan.laws.power_law import best_rate

    try:
        return best_rate(np.array(rates), np.array(losses))
    except InputError:
        best = int(np.argmin(losses))
        return rates[best], losses[best]


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
    published=None,
    published_text="within 1.5 % of a cosine of each length",
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


@functools.cache
def _wide() -> nn.Module:
    """One layer of a Granite model of width 2304, of base width 256, with few bytes."""
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM

    from parsimony.tune import mup

    torch.manual_seed(0)
    config = GraniteConfig(
        vocab_size=16, hidden_size=2304, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=36, num_key_value_heads=1,
    )  # fmt: skip
    model: nn.Module = GraniteForCausalLM(mup.configure(config, 256))
    mup.initialise(model, sigma=0.3)
    return model


@claim(
    name="mup-rate",
    statement="Nine times the base width trains hidden matrices at a ninth of the rate.",
    published=0.1111111111111111,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=1e-15,
)
def mup_rate() -> Measurement:
    from parsimony.tune import mup

    rates = {group["name"]: group["lr"] for group in mup.parameter_groups(_wide(), 0.02)}
    return Measurement(
        rates["mup"] / rates["normal"], note="parameter_groups at width 2304, base 256"
    )


@claim(
    name="mup-start",
    statement="Nine times the base width draws hidden matrices with a third of the deviation.",
    published=0.3333333333333333,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=1e-3,
)
def mup_start() -> Measurement:
    wide: Any = _wide()
    query = wide.model.layers[0].self_attn.q_proj.weight
    return Measurement(
        float(query.double().std()) / 0.3,
        note="standard deviation of the 5.3e6 query weights over sigma, at width 2304, base 256",
    )


@claim(
    name="mup-logits",
    statement="Nine times the base width divides the logits by nine.",
    published=9,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=1e-5,
)
def mup_logits() -> Measurement:
    import torch

    model: Any = _wide().eval()
    with torch.no_grad():
        ids = torch.arange(16)[None]
        plain = model.lm_head(model.model(input_ids=ids).last_hidden_state)
        divided = model(input_ids=ids).logits
    return Measurement(
        float(plain.norm() / divided.norm()), note="the head's output over the logits"
    )


MUP_RATES = tuple(2.0**k for k in range(-10, -3))
MUP_STEPS, MUP_SEEDS = 150, SEEDS[:3]
MUP_SETTING = (
    f"Granite models of 2 layers on bytes, heads of 16, base width 32, {MUP_STEPS} steps of batch "
    "8, WSD at rates 2^-10 to 2^-4; standard keeps rates, deviations and multipliers of width 32; "
    "the best rate is the vertex of a parabola in log rate"
)


def _granite(width: int, seed: int, mup_on: bool) -> nn.Module:
    """Width 32 is the same model with and without muP."""
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM

    from parsimony.papers.byte_models import CONTEXT
    from parsimony.tune import mup

    config = GraniteConfig(
        vocab_size=256, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
        num_attention_heads=width // 16, num_key_value_heads=width // 16,
        max_position_embeddings=CONTEXT, use_cache=False, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(seed)
    model: nn.Module = GraniteForCausalLM(mup.configure(config, 32 if mup_on else width))
    mup.initialise(model)
    return model


@functools.cache
def _best_of_width(width: int, seed: int, mup_on: bool) -> float:
    """log2 of the best rate."""
    from parsimony.core.training import TrainSettings
    from parsimony.papers.byte_models import train_bytes
    from parsimony.tune import mup

    losses = []
    for rate in MUP_RATES:
        model = _granite(width, seed, mup_on)
        by_parameter = {
            id(p): group["lr"] for group in mup.parameter_groups(model, 1.0)
            for p in group["params"]
        }  # fmt: skip
        factors = {name: by_parameter[id(p)] for name, p in model.named_parameters()}
        settings = TrainSettings(rate, MUP_STEPS, batch_size=8, seed=seed, schedule="wsd")
        loss = train_bytes(model, settings, at=frozenset({MUP_STEPS}), scale=factors.__getitem__)
        losses.append(loss[MUP_STEPS] if math.isfinite(loss[MUP_STEPS]) else math.inf)
    return math.log2(vertex(MUP_RATES, losses)[0])


def _moves(mup_on: bool) -> tuple[list[float], str]:
    """Powers of two by which the best rate falls from width 32 to 128, by seed, and the rates."""
    small = [_best_of_width(32, seed, True) for seed in MUP_SEEDS]
    large = [_best_of_width(128, seed, mup_on) for seed in MUP_SEEDS]
    told = "; ".join(f"{2**a:.2g}, {2**b:.2g}" for a, b in zip(small, large, strict=True))
    return [a - b for a, b in zip(small, large, strict=True)], told


@claim(
    name="tiny-mup-transfer",
    statement="Under muP the best rates at widths 32 and 128 are within a factor of 2.",
    published=None,
    published_text="the same within one step of a grid of factor 2",
    source="derived",
    unit="factors of 2 between the best rates, mean of the seeds' sizes",
    direction="at most",
    level="cpu",
)
def tiny_mup_transfer() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    moves, told = _moves(mup_on=True)
    value, interval = mean_of_seeds([abs(move) for move in moves])
    return Measurement(
        value,
        interval,
        f"best rates at widths 32, 128 by seed: {told}; {MUP_SETTING}",
        holds=interval[1] <= 1,
    )


@claim(
    name="tiny-standard-moves",
    statement="In the standard parametrisation the best rate falls by 4 or more from 32 to 128.",
    published=None,
    published_text="at least two steps of a grid of factor 2",
    source="derived",
    unit="factors of 2 between the best rates, mean of the seeds",
    direction="at least",
    level="cpu",
)
def tiny_standard_moves() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    moves, told = _moves(mup_on=False)
    value, interval = mean_of_seeds(moves)
    return Measurement(
        value,
        interval,
        f"best rates at widths 32, 128 by seed: {told}; {MUP_SETTING}",
        holds=interval[0] >= 2,
    )


@claim(
    name="tiny-coordinate-check",
    statement="After 5 steps activations are within a factor of 2 over widths 32 to 256 under muP.",
    published=None,
    published_text="flat within 2x over widths 32..256, growing without muP",
    source="derived",
    unit="largest over smallest mean absolute activation, worst layer and seed",
    direction="at most",
    level="cpu",
)
def tiny_coordinate_check() -> Measurement:
    import torch

    from parsimony.papers.byte_models import windows
    from parsimony.tune import mup

    ids = windows("train")[:8].long()
    worst = {}
    for mup_on in (True, False):
        found = []
        for seed in MUP_SEEDS:

            def make(
                width: int, seed: int = seed, mup_on: bool = mup_on
            ) -> tuple[nn.Module, torch.optim.Optimizer]:
                model = _granite(width, seed, mup_on)
                return model, torch.optim.AdamW(mup.parameter_groups(model, 0.01, 0.0))

            check = mup.coordinate_check(
                make, (32, 64, 128, 256), {"input_ids": ids, "labels": ids}
            )
            found.append(max(check.spread.values()))
        worst[mup_on] = found
    return Measurement(
        max(worst[True]),
        note=f"{len(MUP_SEEDS)} seeds, rate 0.01; the standard parametrisation has "
        f"{min(worst[False]):.3g} or more, with rates, deviations and multipliers of width 32",
        holds=max(worst[True]) <= 2 < min(worst[False]),
    )
