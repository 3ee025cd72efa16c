"""Plan a pre-training run: size, tokens, learning rate, batch size and the loss to expect.

Size and tokens are the compute-optimal split of a Chinchilla law, learning rate and batch size are
the Step Law's, memory and time are the cluster planner's. Each figure has its interval, where there
is one, and says which law it is from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.errors import InputError, MissingExtraError, nearest, require
from parsimony.core.fitting import Fit, Provenance
from parsimony.plan.cluster.pretraining import cost
from parsimony.plan.laws.chinchilla import Chinchilla, Constants, splits
from parsimony.plan.laws.step_law.advice import FINAL_RATE, FIXED_FINAL_RATE, SCHEDULES, advise

if TYPE_CHECKING:
    import pandas as pd

    from parsimony.plan.cluster.hardware import Cluster

POWER, POWER_CAP = "power", 0.02
POWER_SOURCE = "cap of arXiv 2408.13359, under muP"
DRAWS = 1000
# Our fit to the 240 runs that Epoch AI read off figure 4 of Hoffmann et al. 2022 (repository
# epoch-research/analyzing-chinchilla): parameters, covariance of 4,000 bootstraps, and twenty
# quantiles of the log residuals. A test makes them again from that table.
THETA = (6.16924638024117, 7.6701567322864275, 0.5973068149533224, 0.3473104992711591,
         0.36717243258492005)  # fmt: skip
COVARIANCE = (
    (0.066176204, -0.0247226151, 0.0021972958, 0.0039462444, -0.0012449859),
    (-0.0247226151, 0.1854848887, 0.0039550241, -0.0015431281, 0.0090705404),
    (0.0021972958, 0.0039550241, 0.0002109714, 0.0001297606, 0.0001926451),
    (0.0039462444, -0.0015431281, 0.0001297606, 0.0002356397, -7.77548e-05),
    (-0.0012449859, 0.0090705404, 0.0001926451, -7.77548e-05, 0.0004438564),
)
RESIDUALS = (-0.01596, -0.00808, -0.00636, -0.00454, -0.0036, -0.0029, -0.00215, -0.00144,
             -0.00075, -0.00029, 0.00017, 0.00106, 0.00172, 0.00219, 0.00295, 0.00335, 0.00411,
             0.00551, 0.0082, 0.01024)  # fmt: skip
RANGES = {"N": (5.733e7, 1.618e10), "D": (8.187e8, 3.178e11), "C": (1.397e18, 1.296e22)}
PUBLISHED_RUNS = "chinchilla, fitted to the runs of Hoffmann et al. as Epoch AI read them"


def reference() -> Fit:
    """The Chinchilla law on its own runs, where the user has no fit of another setting."""
    random = np.random.default_rng(0)
    return Fit(
        law=Chinchilla(),
        theta=np.array(THETA),
        draws=random.multivariate_normal(THETA, COVARIANCE, DRAWS),
        residuals=np.array(RESIDUALS),
        ranges=RANGES,
        objective=1.0182740178e-3,
        held_out=0.01405,
        condition=4.82e4,
        runs=240,
        provenance=Provenance(data="MassiveText", size="total"),
        notes=(),
    )


def plan_pretraining(
    *,
    compute: float | None = None,
    params: float | None = None,
    tokens: float | None = None,
    fitted: Fit | None = None,
    schedule: str = FIXED_FINAL_RATE,
    sequence: int = 2048,
    cluster: Cluster | None = None,
    beyond: bool = False,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Size, tokens, learning rate, batch size and loss; on a cluster memory, time and energy.

    Args:
        compute: FLOPs, 6 N D; or give params and tokens.
        params: N.
        tokens: D.
        fitted: a Chinchilla law of the user's setting; that of the published runs when ``None``.
        schedule: of the learning rate; see ``step_law.advice``, or ``"power"``, whose rate knows
            no length of the run, so that the table has its cap.
        sequence: tokens of a sequence.
        cluster: where the run is to be; all of its devices.
        beyond: answer beyond the reach of the loss law.

    Returns:
        By quantity: value, low, high (95 %; NaN where there is no interval) and law; and notes.

    Raises:
        InputError: neither compute nor params and tokens, or both; not positive; a fit of another
            law; beyond the reach of the loss law.
    """
    pd = require("pandas", "plan")
    chosen = (compute is not None, params is not None, tokens is not None)
    if chosen not in ((True, False, False), (False, True, True)):
        raise InputError(
            "give --compute, or --params and --tokens",
            got={"compute": compute, "params": params, "tokens": tokens},
        )
    if not all(v is None or (v > 0 and math.isfinite(v)) for v in (compute, params, tokens)):
        raise InputError("compute, params and tokens must be positive and finite",
                         got=(compute, params, tokens))  # fmt: skip
    if schedule not in (*SCHEDULES, POWER):
        known = [*SCHEDULES, POWER]
        raise InputError(f"unknown schedule '{schedule}'", hint=nearest(schedule, known))
    fit = fitted or reference()
    if not isinstance(fit.law, Chinchilla) or fit.law.columns != ("N", "D"):
        raise InputError("the split of compute needs a Chinchilla law of N and D",
                         got=fit.law.name)  # fmt: skip
    if not fit.separable:
        raise InputError("the constants of this fit are not separable", hint="Fit other runs")
    source = PUBLISHED_RUNS if fitted is None else f"{fit.law.name}, your fit"
    rows: dict[str, tuple[float, float, float, str]] = {}
    if compute is not None:
        best = Constants.of(fit.constants).split(compute)
        drawn = [s for s in splits(fit, compute) if math.isfinite(s.N * s.D)]
        params, tokens = best.N, best.D
        rows["params"] = (best.N, *_interval(s.N for s in drawn), source)
        rows["tokens"] = (best.D, *_interval(s.D for s in drawn), source)
    else:
        assert params is not None and tokens is not None
        rows["params"], rows["tokens"] = ((v, v, v, "given") for v in (params, tokens))
    notes = ["N counts all parameters in the loss law and those without vocabulary in the Step Law"]
    try:
        known = "wsd" if schedule == POWER else schedule  # which is the schedule it was fitted on
        advice = advise(params, tokens, schedule=known, sequence=sequence)
    except InputError as error:
        notes.append(f"no learning rate and no batch size: {error}")
    else:
        if schedule == POWER:
            rows["learning_rate"] = (POWER_CAP, math.nan, math.nan, POWER_SOURCE)
        else:
            rows["learning_rate"] = (advice.lr, *advice.lr_interval, "step-law")
        rows["batch_tokens"] = (advice.batch_tokens, *advice.batch_interval, "step-law")
        notes.extend(advice.notes)
    table = pd.DataFrame({"N": [params], "D": [tokens]})
    told = fit.predict(table, beyond=beyond, file="the plan").iloc[0]
    rows["loss"] = (told["value"], told["low"], told["high"], source)
    if told["extrapolation"] > 1:
        notes.append(f"the loss is predicted {told['extrapolation']:.3g} times outside the runs")
    if cluster is not None:
        if "batch_tokens" not in rows:
            raise InputError("memory and time need a batch size, and the Step Law gives none here",
                             hint="Use 'plan cluster' with --batch")  # fmt: skip
        spent = cost(params, tokens, rows["batch_tokens"][0], sequence, cluster)
        planner = f"cluster planner, {cluster.name}"
        rows["memory_bytes"] = (spent.memory, math.nan, math.nan, planner)
        rows["seconds"] = (spent.seconds, math.nan, math.nan, planner)
        if spent.joules is None:
            notes.append(f"energy is unknown: {cluster.name} says nothing of power_watts")
        else:
            rows["joules"] = (spent.joules, math.nan, spent.joules, "at most, by power_watts")
        shape = spent.shape
        notes.append(
            f"the planner stands on a GPT of {shape.layers} layers, {shape.hidden} wide, "
            f"{shape.parameters:.4g} parameters, in steps of {spent.sequences} sequences, with "
            f"{spent.layout} on {cluster.devices:,} devices. Memory and time have no interval: the "
            "efficiency is an assumption until 'plan run' has measured it"
        )
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high", "law"])
    return frame.rename_axis("quantity"), tuple(notes)


def loss_curve(
    params: float, tokens: float, fitted: Fit | None = None, points: int = 10
) -> pd.DataFrame:
    """The loss of runs that end, with their decay, after a tenth, two tenths ... of the tokens.

    Args:
        params: N.
        tokens: D of the whole run.
        fitted: as in ``plan_pretraining``.
        points: how many, evenly spaced.

    Returns:
        Columns tokens, loss, low, high.
    """
    pd = require("pandas", "plan")
    seen = tokens * np.arange(1, points + 1) / points
    asked = pd.DataFrame({"N": params, "D": seen})
    told = (fitted or reference()).predict(asked, beyond=True, file="the curve")
    band = {name: told[name].to_numpy() for name in ("low", "high")}
    return pd.DataFrame({"tokens": seen, "loss": told["value"].to_numpy(), **band})


def rates(schedule: str, plan: pd.Series, at: list[float]) -> tuple[list[float], str]:
    """Learning rates of the planned run, after warm-up.

    Args:
        schedule: as in ``plan_pretraining``.
        plan: values of its table, by quantity.
        at: tokens, rising.

    Returns:
        One rate for each of ``at``, NaN where none is known; and then the reason.
    """
    unknown = [math.nan] * len(at)
    if schedule == "other" or "learning_rate" not in plan:
        return unknown, "the schedule is not one that is known, or has no rate"
    try:
        torch = require("torch", "adapt")
    except MissingExtraError as error:
        return unknown, str(error)
    from parsimony.core.schedules import Course, schedules

    peak, total = float(plan["learning_rate"]), round(plan["tokens"])
    name, options = {
        FIXED_FINAL_RATE: ("cosine", {"minimum": min(1.0, FINAL_RATE / peak)}),
        "cosine-fraction": ("cosine", {}),
        "wsd": ("wsd", {}),
        "constant": ("wsd", {"decay_tokens": 0}),
        POWER: (POWER, {"unit": "tokens"}),
    }[schedule]
    # The published power law, and so the plan, is under muP.
    group = {"params": [torch.zeros(1, requires_grad=True)], "mup_width": 1.0}
    optimizer = torch.optim.AdamW([group], lr=peak)
    course = Course(peak, round(plan["batch_tokens"]), 1, total, warmup=0.0)
    follows = schedules()[name].of_run(optimizer, course, options)
    found, seen = [], 0
    for tokens in (min(round(tokens), total) for tokens in at):
        optimizer.step()
        follows.expect(tokens - seen)
        follows.step()
        seen = tokens
        found.append(float(follows.get_last_lr()[0]))
    return found, ""


def _interval(values: Iterable[float]) -> tuple[float, float]:
    low, high = np.percentile(list(values), [2.5, 97.5])
    return float(low), float(high)
