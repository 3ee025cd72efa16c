# Long because every figure of the tables is a claim of its own.
"""Unraveling the Mystery of Scaling Laws: Part I."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from parsimony.papers.claim import Measurement, claim
from parsimony.papers.tables import published

if TYPE_CHECKING:
    import pandas as pd

    from parsimony.core.fitting import Fit
    from parsimony.plan.laws.chinchilla import Constants
    from parsimony.plan.laws.kaplan.procedure import BatchFit

CARD = {
    "slug": "scaling-laws",
    "title": "Unraveling the Mystery of Scaling Laws: Part I",
    "authors": ("Su", "Tian", "Shen", "Cai"),
    "year": 2024,
    "arxiv": "2403.06563",
    "venue": "technical report",
    "areas": ("plan",),
    "mechanism": "plan/laws/kaplan",
    "summary": (
        "Fits constants on small training runs and predicts loss, steps and batch size of a "
        "far larger one."
    ),
    "official_code": (),
    "licence": None,
}

FORMULA = "closed form at the published constants"
ORIGIN = "epoch-research/analyzing-chinchilla, data/svg_extracted_data.csv"
FITTED = "240 runs of chinchilla_epoch_extracted_245.csv, fitted from 72 starts"


def _runs() -> pd.DataFrame:
    from parsimony.plan.laws.chinchilla import epoch_runs

    return epoch_runs(published("chinchilla_epoch_extracted_245.csv", ORIGIN))


@functools.cache
def _fitted() -> Fit:
    from parsimony.core.fitting import fit
    from parsimony.plan.laws import law

    return fit(law("chinchilla"), _runs(), bootstraps=4000)


def _constant(name: str) -> Measurement:
    found = _fitted()
    low, high = found.report().loc[name, ["low", "high"]]
    return Measurement(found.constants[name], (low, high), FITTED)


def _bound(name: str, side: str) -> Measurement:
    value = float(_fitted().report().loc[name, side])
    return Measurement(value, note=f"percentile of 4,000 bootstraps; {FITTED}")


def _best() -> Constants:
    from parsimony.plan.laws.chinchilla import Constants

    return Constants.of(_fitted().constants)


def _objective_at(constants: Constants) -> Measurement:
    import numpy as np

    from parsimony.core.fitting import Loss

    runs = _runs()
    residual = np.log(constants.loss(runs["N"], runs["D"])) - np.log(runs["loss"].to_numpy())
    value = float(Loss(1e-3).value(residual, np.ones(len(runs))))
    return Measurement(value, note="summed over the 240 runs of chinchilla_epoch_extracted_245.csv")


@claim(
    name="loss-1e8-1e4",
    statement="Loss of 1e8 parameters after 1e4 steps of 524288 tokens.",
    published=3.35752,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-06,
)
def loss_1e8_1e4() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import KAPLAN

    return Measurement(float(KAPLAN.loss(1e8, 1e4, 524288)), note=FORMULA)


@claim(
    name="loss-1e8-1e5",
    statement="Loss of 1e8 parameters after 1e5 steps of 524288 tokens.",
    published=2.93339,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-06,
)
def loss_1e8_1e5() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import KAPLAN

    return Measurement(float(KAPLAN.loss(1e8, 1e5, 524288)), note=FORMULA)


@claim(
    name="loss-1e9-1e5",
    statement="Loss of 1e9 parameters after 1e5 steps of 524288 tokens.",
    published=2.54119,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-06,
)
def loss_1e9_1e5() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import KAPLAN

    return Measurement(float(KAPLAN.loss(1e9, 1e5, 524288)), note=FORMULA)


@claim(
    name="loss-1e9-1e5-large-batch",
    statement="Loss of 1e9 parameters after 1e5 steps of 4194304 tokens.",
    published=2.42686,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-06,
)
def loss_1e9_1e5_large_batch() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import KAPLAN

    return Measurement(float(KAPLAN.loss(1e9, 1e5, 4194304)), note=FORMULA)


@claim(
    name="critical-batch",
    statement="Critical batch at that first loss.",
    published=625400.0,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
    tolerance=50.0,
)
def critical_batch() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import KAPLAN

    loss = KAPLAN.loss(1e8, 1e4, 524288)
    return Measurement(float(KAPLAN.critical_batch(loss)), note=FORMULA)


@claim(
    name="least-steps",
    statement="Steps to that first loss with a batch far above critical.",
    published=4560.1,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def least_steps() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import KAPLAN

    loss = KAPLAN.loss(1e8, 1e4, 524288)
    return Measurement(float(KAPLAN.least_steps(1e8, loss)), note=FORMULA)


@claim(
    name="critical-batch-exponent",
    statement="The critical batch falls with this power of the loss.",
    published=-4.76,
    published_text="Kaplan et al. 2020: L^-4.76",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def critical_batch_exponent() -> Measurement:
    import math

    from parsimony.plan.laws.kaplan.curves import KAPLAN

    ratio = KAPLAN.critical_batch(4.0) / KAPLAN.critical_batch(2.0)
    return Measurement(math.log(float(ratio), 2), note=FORMULA)


@claim(
    name="nanogpt-alpha-b",
    statement="alpha_B of the public reproduction, from its exponent 4.2627.",
    published=0.2346,
    source="derived",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def nanogpt_alpha_b() -> Measurement:
    from parsimony.plan.laws.kaplan.curves import NANOGPT

    return Measurement(NANOGPT.alpha_B, note="1 / 4.2627")


@claim(
    name="published-loss-70b",
    statement="Loss of 70B parameters on 1.4T tokens, constants of Hoffmann et al.",
    published=1.9366,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def published_loss_70b() -> Measurement:
    from parsimony.plan.laws.chinchilla import PUBLISHED

    return Measurement(float(PUBLISHED.loss(70e9, 1.4e12)), note=FORMULA)


@claim(
    name="tokens-per-parameter-epoch",
    statement="Optimal tokens per parameter at 5.88e23 FLOPs, Epoch's constants.",
    published=18.4,
    source="derived",
    unit="tokens per parameter",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def tokens_per_parameter_epoch() -> Measurement:
    from parsimony.plan.laws.chinchilla import EPOCH

    return Measurement(EPOCH.split(5.88e23).ratio, note=FORMULA)


@claim(
    name="tokens-per-parameter-unrounded",
    statement="The same at the unrounded constants of Hoffmann et al. 2022.",
    published=59.0,
    source="derived",
    unit="tokens per parameter",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def tokens_per_parameter_unrounded() -> Measurement:
    from parsimony.plan.laws.chinchilla import UNROUNDED

    return Measurement(UNROUNDED.split(5.88e23).ratio, note=FORMULA)


@claim(
    name="tokens-per-parameter-rounded",
    statement="The same at their rounded constants.",
    published=92.8,
    source="derived",
    unit="tokens per parameter",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def tokens_per_parameter_rounded() -> Measurement:
    from parsimony.plan.laws.chinchilla import PUBLISHED

    return Measurement(PUBLISHED.split(5.88e23).ratio, note=FORMULA)


@claim(
    name="optimum",
    statement="Least sum of Huber losses of the Chinchilla law on the runs that Epoch read off.",
    published=0.0010182740178,
    source="derived",
    unit="summed Huber loss",
    direction="equal",
    level="exact",
    tolerance=5e-14,
)
def optimum() -> Measurement:
    return Measurement(_fitted().objective, note=FITTED)


@claim(
    name="optimum-a",
    statement="A at that optimum.",
    published=477.83,
    source="derived",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=0.238915,
)
def optimum_a() -> Measurement:
    return _constant("A")


@claim(
    name="optimum-b",
    statement="B at that optimum.",
    published=2143.4,
    source="derived",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=1.0717,
)
def optimum_b() -> Measurement:
    return _constant("B")


@claim(
    name="optimum-e",
    statement="E at that optimum.",
    published=1.81722,
    source="derived",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=1e-05,
)
def optimum_e() -> Measurement:
    return _constant("E")


@claim(
    name="optimum-alpha",
    statement="alpha at that optimum.",
    published=0.34731,
    source="derived",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=2e-06,
)
def optimum_alpha() -> Measurement:
    return _constant("alpha")


@claim(
    name="optimum-beta",
    statement="beta at that optimum.",
    published=0.367172,
    source="derived",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=2e-06,
)
def optimum_beta() -> Measurement:
    return _constant("beta")


@claim(
    name="optimum-unrounded",
    statement="The same sum at the unrounded constants of Hoffmann et al.",
    published=0.00123116,
    source="derived",
    unit="summed Huber loss",
    direction="equal",
    level="exact",
    tolerance=5e-09,
)
def optimum_unrounded() -> Measurement:
    from parsimony.plan.laws.chinchilla import UNROUNDED

    return _objective_at(UNROUNDED)


@claim(
    name="optimum-rounded",
    statement="The same sum at their rounded constants.",
    published=0.00412101,
    source="derived",
    unit="summed Huber loss",
    direction="equal",
    level="exact",
    tolerance=5e-09,
)
def optimum_rounded() -> Measurement:
    from parsimony.plan.laws.chinchilla import PUBLISHED

    return _objective_at(PUBLISHED)


@claim(
    name="tokens-per-parameter-optimum",
    statement="Optimal tokens per parameter at 5.88e23 FLOPs, at that optimum.",
    published=17.9,
    source="derived",
    unit="tokens per parameter",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def tokens_per_parameter_optimum() -> Measurement:
    return Measurement(_best().split(5.88e23).ratio, note=FITTED)


@claim(
    name="loss-70b",
    statement="Loss of 70B parameters on 1.4T tokens, at that optimum.",
    published=1.9734,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def loss_70b() -> Measurement:
    return Measurement(float(_best().loss(70e9, 1.4e12)), note=FITTED)


@claim(
    name="epoch-a",
    statement="A of Epoch's refit, whose solver stops a little short of the optimum.",
    published=482.01,
    published_text="Besiroglu et al. 2024: 482.01",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=14.0,
)
def epoch_a() -> Measurement:
    return _constant("A")


@claim(
    name="epoch-b",
    statement="B of Epoch's refit, whose solver stops a little short of the optimum.",
    published=2085.43,
    published_text="Besiroglu et al. 2024: 2085.43",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=63.0,
)
def epoch_b() -> Measurement:
    return _constant("B")


@claim(
    name="epoch-e",
    statement="E of Epoch's refit, whose solver stops a little short of the optimum.",
    published=1.8172,
    published_text="Besiroglu et al. 2024: 1.8172",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=0.001,
)
def epoch_e() -> Measurement:
    return _constant("E")


@claim(
    name="epoch-alpha",
    statement="alpha of Epoch's refit, whose solver stops a little short of the optimum.",
    published=0.3478,
    published_text="Besiroglu et al. 2024: 0.3478",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.002,
)
def epoch_alpha() -> Measurement:
    return _constant("alpha")


@claim(
    name="epoch-beta",
    statement="beta of Epoch's refit, whose solver stops a little short of the optimum.",
    published=0.3658,
    published_text="Besiroglu et al. 2024: 0.3658",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.002,
)
def epoch_beta() -> Measurement:
    return _constant("beta")


@claim(
    name="epoch-a-low",
    statement="Lower end of Epoch's 95 % interval of A.",
    published=285.2,
    published_text="Besiroglu et al. 2024: 285.2, of 4000 bootstraps",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=17.112,
)
def epoch_a_low() -> Measurement:
    return _bound("A", "low")


@claim(
    name="epoch-a-high",
    statement="Upper end of Epoch's 95 % interval of A.",
    published=743.6,
    published_text="Besiroglu et al. 2024: 743.6, of 4000 bootstraps",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=44.616,
)
def epoch_a_high() -> Measurement:
    return _bound("A", "high")


@claim(
    name="epoch-b-low",
    statement="Lower end of Epoch's 95 % interval of B.",
    published=1042,
    published_text="Besiroglu et al. 2024: 1042, of 4000 bootstraps",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=62.52,
)
def epoch_b_low() -> Measurement:
    return _bound("B", "low")


@claim(
    name="epoch-b-high",
    statement="Upper end of Epoch's 95 % interval of B.",
    published=5810,
    published_text="Besiroglu et al. 2024: 5810, of 4000 bootstraps",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=348.6,
)
def epoch_b_high() -> Measurement:
    return _bound("B", "high")


@claim(
    name="epoch-e-low",
    statement="Lower end of Epoch's 95 % interval of E.",
    published=1.769,
    published_text="Besiroglu et al. 2024: 1.769, of 4000 bootstraps",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=0.01769,
)
def epoch_e_low() -> Measurement:
    return _bound("E", "low")


@claim(
    name="epoch-e-high",
    statement="Upper end of Epoch's 95 % interval of E.",
    published=1.871,
    published_text="Besiroglu et al. 2024: 1.871, of 4000 bootstraps",
    source="paper",
    unit="constant",
    direction="equal",
    level="exact",
    tolerance=0.01871,
)
def epoch_e_high() -> Measurement:
    return _bound("E", "high")


@claim(
    name="epoch-alpha-low",
    statement="Lower end of Epoch's 95 % interval of alpha.",
    published=0.317,
    published_text="Besiroglu et al. 2024: 0.317, of 4000 bootstraps",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.00317,
)
def epoch_alpha_low() -> Measurement:
    return _bound("alpha", "low")


@claim(
    name="epoch-alpha-high",
    statement="Upper end of Epoch's 95 % interval of alpha.",
    published=0.373,
    published_text="Besiroglu et al. 2024: 0.373, of 4000 bootstraps",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.00373,
)
def epoch_alpha_high() -> Measurement:
    return _bound("alpha", "high")


@claim(
    name="epoch-beta-low",
    statement="Lower end of Epoch's 95 % interval of beta.",
    published=0.331,
    published_text="Besiroglu et al. 2024: 0.331, of 4000 bootstraps",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.00331,
)
def epoch_beta_low() -> Measurement:
    return _bound("beta", "low")


@claim(
    name="epoch-beta-high",
    statement="Upper end of Epoch's 95 % interval of beta.",
    published=0.415,
    published_text="Besiroglu et al. 2024: 0.415, of 4000 bootstraps",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.00415,
)
def epoch_beta_high() -> Measurement:
    return _bound("beta", "high")


@claim(
    name="epoch-share",
    statement="Exponent a of N_opt ~ C^a.",
    published=0.513,
    published_text="Besiroglu et al. 2024: 0.513",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def epoch_share() -> Measurement:
    return Measurement(_best().share, note=FITTED)


@claim(
    name="epoch-share-error",
    statement="Standard error of that exponent.",
    published=0.02,
    published_text="Besiroglu et al. 2024: 0.020",
    source="paper",
    unit="exponent",
    direction="equal",
    level="exact",
    tolerance=0.001,
)
def epoch_share_error() -> Measurement:
    import numpy as np

    alpha, beta = _fitted().draws[:, 3:].T
    return Measurement(float(np.std(beta / (alpha + beta))), note="4,000 bootstraps")


@claim(
    name="recovery",
    statement="Bands of 95 % hold each of six known constants this often, 5 sizes and 5 batches.",
    published=0.88,
    source="derived",
    unit="share of repeats, least of six",
    direction="at least",
    level="cpu",
)
def recovery() -> Measurement:
    from dataclasses import asdict

    import numpy as np
    import pandas as pd

    from parsimony.plan.laws.kaplan.curves import KAPLAN
    from parsimony.plan.laws.kaplan.procedure import fit_kaplan

    sizes, repeats = np.array([1e6, 3e6, 1e7, 3e7, 6e7]), 60
    inside = dict.fromkeys(asdict(KAPLAN), 0)
    for seed in range(repeats):
        random, curves = np.random.default_rng(seed), []
        for size in sizes:
            for batch in (2**15, 2**17, 2**18, 2**19, 2**21) if size == 1e7 else (2**19,):
                steps = np.geomspace(300, 1e5, 60)
                loss = KAPLAN.loss(size, steps, batch) * np.exp(random.normal(0, 0.005, 60))
                run = {"run": f"{size:g} {batch}", "N": size, "B": batch, "S": steps, "loss": loss}
                curves.append(pd.DataFrame(run))
        ends = KAPLAN.converged(sizes) * np.exp(random.normal(0, 0.005, len(sizes)))
        converged = pd.DataFrame({"N": sizes, "loss": ends})
        found = fit_kaplan(pd.concat(curves), converged, warm_up=0, bootstraps=60, seed=seed)
        report = found.report()
        for name, value in asdict(KAPLAN).items():
            low, high = report.loc[name, ["low", "high"]]
            inside[name] += bool(low <= value <= high)
    return Measurement(min(inside.values()) / repeats, note=f"{repeats} repeats, 0.5 % noise")


STEPS = {4: 1000, 16: 450, 32: 320, 64: 220, 256: 140}
"""Optimizer steps of the tiny trainings by batch, in sequences of 64 bytes."""
RATE = {16: 0.004, 32: 0.004, 64: 0.004, 96: 0.002}
"""AdamW's by width; 0.004 and 0.002 were tried on seed 0. At 0.004 width 96 learns less than 64."""
WARM_UP = 60
"""Steps left out of every fit and error; the rate rises over the first 20."""
SEEDS = (5, 6, 7, 8, 9)
"""Others than 0 to 2, which were seen while rates and steps were chosen."""
TINY = "2 layers on bytes, AdamW constant after 20 steps, batches of {} sequences of 64"
WIDTH_32 = "width 32, rate 0.004, " + TINY.format("4, 16, 64 and 256")


def tiny(batch: int, seed: int, width: int = 32) -> pd.DataFrame:
    """Validation losses of one training at a constant rate: run, N, B (tokens), S, loss."""
    import pandas as pd

    from parsimony.papers.byte_models import CONTEXT, Run, decoder, size, train_run

    tokens = batch * CONTEXT
    stages = (("warmup_tokens", 20 * tokens),)
    losses = train_run(Run(batch, STEPS[batch], RATE[width], seed, width, stages=stages), points=45)
    name = f"width {width}, batch {batch}, seed {seed}"
    run = {"run": name, "N": size(decoder(width, 0)), "B": tokens, "S": list(losses)}
    return pd.DataFrame({**run, "loss": list(losses.values())})


@functools.cache
def _batches(seed: int) -> BatchFit:
    """Step 2 on batches of 4, 16, 64 and 256 sequences; 32 is left out."""
    import pandas as pd

    from parsimony.plan.laws.kaplan.procedure import fit_batches

    curves = pd.concat([tiny(batch, seed) for batch in (4, 16, 64, 256)])
    return fit_batches(curves, warm_up=WARM_UP, levels=12)


def mean_error(truth: pd.DataFrame, predicted: pd.DataFrame) -> float:
    """Mean absolute error of a curve in nats, linear in log S between points.

    It is taken after warm-up, at the steps of ``truth`` that ``predicted`` spans; both have S and
    loss.
    """
    import numpy as np

    inside = truth["S"].between(max(WARM_UP, predicted["S"].min()), predicted["S"].max())
    at, loss = truth.loc[inside, "S"], truth.loc[inside, "loss"]
    line = np.interp(np.log(at), np.log(predicted["S"]), predicted["loss"])
    return float(np.abs(line - loss).mean())


def _errors(seed: int) -> dict[str, float]:
    """Of the law, and of the neighbours' curves as they are, by steps and by tokens."""
    truth, law = tiny(32, seed), _batches(seed).curve(32 * 64)
    # All on the steps that the law speaks of.
    truth = truth[truth["S"].between(law["S"].min(), law["S"].max())]
    errors = {"law": mean_error(truth, law)}
    for batch in (16, 64):
        near = tiny(batch, seed)
        errors[f"batch {batch} by steps"] = mean_error(truth, near)
        by_tokens = near.assign(S=near["S"] * batch / 32)
        errors[f"batch {batch} by tokens"] = mean_error(truth, by_tokens)
    return errors


@claim(
    name="tiny-critical-batch",
    statement="The critical batch of a tiny model of bytes rises as its loss falls.",
    published=None,
    published_text="B_crit = B_star / L^(1 / alpha_B) with alpha_B > 0",
    source="paper",
    unit="exponent of the loss",
    direction="at most",
    level="cpu",
)
def tiny_critical_batch() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    found = [_batches(seed) for seed in SEEDS]
    value, interval = mean_of_seeds([-1 / fit.alpha_B for fit in found])
    ends = [fit.batches.iloc[[-1, 0]] for fit in found]
    losses, critical = (sum(e[c].to_numpy() for e in ends) / len(ends) for c in ("loss", "B_crit"))
    return Measurement(
        value,
        interval,
        f"large models: -4.76 (Kaplan et al.); B_crit {critical[0]:.0f} tokens at loss "
        f"{losses[0]:.2f}, {critical[1]:.0f} at {losses[1]:.2f}; {len(SEEDS)} seeds; " + WIDTH_32,
        holds=interval[1] < 0,
    )


@claim(
    name="tiny-unseen-batch",
    statement="Step 2 on batches of 4 to 256 predicts the curve of the unseen batch of 32.",
    published=None,
    published_text="below 0.05 nats",
    source="derived",
    unit="nats, mean absolute error after warm-up",
    direction="at most",
    level="cpu",
)
def tiny_unseen_batch() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    value, interval = mean_of_seeds([_errors(seed)["law"] for seed in SEEDS])
    note = f"{len(SEEDS)} seeds; " + WIDTH_32
    return Measurement(value, interval, note, holds=interval[1] < 0.05)


@claim(
    name="tiny-unseen-batch-baselines",
    statement="It beats the neighbouring batches' curves, by steps and by tokens.",
    published=None,
    published_text="a smaller error than the best of four neighbours' curves",
    source="derived",
    unit="nats, error of the best neighbour less the law's",
    direction="at least",
    level="cpu",
)
def tiny_unseen_batch_baselines() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    errors = [_errors(seed) for seed in SEEDS]
    means = {name: sum(e[name] for e in errors) / len(errors) for name in errors[0]}
    best = min((name for name in means if name != "law"), key=lambda name: means[name])
    value, interval = mean_of_seeds([e[best] - e["law"] for e in errors])
    told = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
    return Measurement(
        value, interval, f"errors: {told}; {len(SEEDS)} seeds, paired", holds=interval[0] > 0
    )


@claim(
    name="tiny-unseen-width",
    statement="L(N, S_min) of widths 16, 32 and 64 predicts the curve of width 96.",
    published=2.0,
    source="derived",
    unit="percent, mean absolute error after warm-up",
    direction="at most",
    level="cpu",
)
def tiny_unseen_width() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    value, interval = mean_of_seeds([_width_error(seed) for seed in SEEDS])
    note = (
        f"{len(SEEDS)} seeds; N_c, alpha_N, S_c, alpha_S fitted at once, B_crit of width 32; "
        "rate 0.004, and 0.002 at width 96; "
    )
    return Measurement(value, interval, note + TINY.format(64))


def _width_error(seed: int) -> float:
    import numpy as np
    import pandas as pd

    from parsimony.core.fitting import fit
    from parsimony.plan.laws import law

    line = _batches(seed)

    def at_large_batch(width: int) -> pd.DataFrame:
        curve = tiny(64, seed, width)
        critical = line.B_star / curve["loss"] ** (1 / line.alpha_B)
        return curve[curve["S"] > WARM_UP].assign(S_min=curve["S"] / (1 + critical / curve["B"]))

    known = pd.concat([at_large_batch(width) for width in (16, 32, 64)])
    unseen = at_large_batch(96)
    found = fit(law("kaplan-steps"), known, bootstraps=2)
    predicted = found.predict(unseen)["value"].to_numpy()
    return 100 * float(np.abs(predicted / unseen["loss"].to_numpy() - 1).mean())
