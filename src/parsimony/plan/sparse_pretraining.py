"""Plan a pre-training that prunes: when, for how long, to what loss, and what it saves.

The 25/75 rule of Jin et al. 2025 (arXiv 2501.12486): prune from 25 % to 75 % of the training
COMPUTE, where a step costs its density. With N0 the dense steps that the compute would buy and
g = -ln(1 - S) / S the inverse of the mean density while pruning,

    start = a N0,  pruning = (b - a) g N0 steps,  after = (1 - b) / (1 - S) N0 steps,

and the average density is N0 over their sum (derived from the released configurations, which it
reproduces). The loss is Chinchilla's at the parameter count averaged over the steps. That law does
not know when the pruning happens: that 25/75 is near the best is what the paper measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from parsimony.core.errors import InputError, require
from parsimony.core.fitting import Fit
from parsimony.core.pruning_schedule import PruningSchedule, check_sparsity
from parsimony.plan.laws.chinchilla import Chinchilla, Constants
from parsimony.plan.laws.step_law.advice import FIXED_FINAL_RATE, advise
from parsimony.plan.pretraining import PUBLISHED_RUNS, reference

if TYPE_CHECKING:
    import pandas as pd

SPARSITIES = (0.2, 0.4, 0.6, 0.8)
STARTS = (0.0, 0.125, 0.25, 0.375, 0.5)
ENDS = (0.625, 0.75, 0.875, 1.0)
"""With the above 80 schedules, as many as the paper swept; its own grid is not known."""


@dataclass(frozen=True)
class ComputeRule:
    """Where a training prunes, as shares of its compute.

    Attributes:
        sparsity: S, in [0, 1).
        start: share a of the compute before the first pruning.
        end: share b before the last.

    Raises:
        InputError: no shares, or in the wrong order.
    """

    sparsity: float
    start: float = 0.25
    end: float = 0.75

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        if not 0 <= self.start < self.end <= 1:
            large = max(self.start, self.end)
            hint = "Give 0.25 and 0.75, say"
            if 1 < large <= 100:
                first, last = (v / 100 if v > 1 else v for v in (self.start, self.end))
                hint = f"Are they {first:g} and {last:g}?"
            elif large > 100:
                hint = "Steps are given with --steps START,END,TOTAL"
            raise InputError(
                "pruning starts and ends at shares of the training compute, 0 <= start < end <= 1",
                got=(self.start, self.end),
                hint=hint,
            )

    @property
    def slowing(self) -> float:
        """g = -ln(1 - S) / S, steps for a dense step's compute while pruning; 1 for S = 0."""
        return -math.log1p(-self.sparsity) / self.sparsity if self.sparsity else 1.0

    @property
    def stretch(self) -> float:
        """T / N0, steps over those of a dense training of the same compute."""
        after = (1 - self.end) / (1 - self.sparsity)
        return self.start + (self.end - self.start) * self.slowing + after

    @property
    def average_density(self) -> float:
        """Mean over the steps of the share of prunable weights that is left."""
        return 1 / self.stretch

    def steps(self, dense_steps: float) -> tuple[float, float, float]:
        """Start, end and total, not rounded, for the compute of that many dense steps."""
        first = self.start * dense_steps
        last = first + (self.end - self.start) * self.slowing * dense_steps
        return first, last, self.stretch * dense_steps

    def schedule(self, dense_steps: float, every: int = 100) -> PruningSchedule:
        """Whole steps, ``every`` apart, in a training of the same compute.

        Raises:
            InputError: the pruning is shorter than ``every``.
        """
        first, last, _ = self.steps(dense_steps)
        prunings = round((last - first) / every)
        if prunings < 1:
            raise InputError(
                f"prunings every {every} steps do not fit between steps {first:.4g} and {last:.4g}",
                hint="Give a smaller --every, more compute or smaller batches",
            )
        start = round(first)
        end = start + prunings * every
        trial = PruningSchedule(self.sparsity, start, end, end + 1, every)
        left = dense_steps - trial.steps_before_end
        return PruningSchedule(
            self.sparsity, start, end, end + max(1, round(left / (1 - self.sparsity))), every
        )


@dataclass(frozen=True)
class SparsePlan:
    """A training that prunes.

    Attributes:
        schedule: in whole steps.
        batch: tokens per step.
        table: by quantity, value and source.
        notes: what the reader must know.
    """

    schedule: PruningSchedule
    batch: float
    table: pd.DataFrame
    notes: tuple[str, ...]


def plan_sparse(
    *,
    sparsity: float,
    compute: float | None = None,
    params: float | None = None,
    final: float | None = None,
    tokens: float | None = None,
    steps: tuple[int, int, int] | None = None,
    unprunable: float = 0.0,
    start: float | None = None,
    end: float | None = None,
    every: int = 100,
    batch: float | None = None,
    fitted: Fit | None = None,
    beyond: bool = False,
) -> SparsePlan:
    """Schedule, sizes, tokens, loss, and the dense models to compare with.

    Args:
        sparsity: share of the prunable weights to remove, in [0, 1).
        compute: FLOPs, 6 N_avg D; alone, its best split gives N_avg and D.
        params: N before pruning, or
        final: N after it; with one of compute, tokens and steps.
        tokens: D.
        steps: start, end and total as steps, in place of shares of the compute.
        unprunable: how many of N are never pruned, such as embeddings; 0 where N counts prunable
            weights only.
        start: share of the compute before the first pruning; 0.25 when ``None``.
        end: share before the last; 0.75 when ``None``.
        every: steps between prunings.
        batch: tokens per step; the Step Law's when ``None``.
        fitted: a Chinchilla law of N or N_avg of the user's setting.
        beyond: answer beyond the reach of the loss law.

    Raises:
        InputError: too few or too many of these, or one that breaks its rule.
    """
    given = {"compute": compute, "params": params, "final": final, "tokens": tokens}
    _check(given, steps, unprunable, batch)
    if steps is not None and (start is not None or end is not None):
        raise InputError(
            "--steps stands in place of --start and --end, which are shares of the compute",
            got={"start": start, "end": end, "steps": steps},
        )
    rule = ComputeRule(sparsity, 0.25 if start is None else start, 0.75 if end is None else end)
    fit = _law(fitted)
    source = PUBLISHED_RUNS if fitted is None else f"{fit.law.name}, your fit"
    constants = Constants.of(fit.constants)
    density = rule.average_density
    schedule = None
    if steps is not None:
        assert batch is not None
        schedule = PruningSchedule(sparsity, *steps, every)
        density, tokens = schedule.average_density, schedule.total * batch
    size_from = "given"
    if params is None and final is None:
        assert compute is not None
        split = constants.split(compute)
        _leaves_some(split.N, unprunable, "The compute-optimal average")
        size = (split.N - unprunable) / density
        tokens, size_from = split.D, source
    elif params is not None:
        _leaves_some(params, unprunable, "N before pruning")
        size = params - unprunable
    else:
        assert final is not None
        _leaves_some(final, unprunable, "N after pruning")
        size = (final - unprunable) / (1 - sparsity)
    average = unprunable + size * density
    if tokens is None:
        assert compute is not None
        tokens = compute / 6 / average
    batch_from = "given"
    if batch is None:
        batch, batch_from = _batch(average, tokens), "step-law"
    if schedule is None:
        schedule = rule.schedule(tokens / batch * density, every)
    tokens = schedule.total * batch
    average = unprunable + size * schedule.average_density
    last = unprunable + size * (1 - sparsity)
    loss, low, high, far = _loss(fit, average, tokens, beyond)
    cheapest = constants.cheapest(loss)
    flops = 6 * average * tokens
    shares = schedule.compute_shares
    rows: dict[str, tuple[float, str]] = {
        "params_before": (unprunable + size, size_from if final is None else "sparsity"),
        "params_average": (average, "schedule"),
        "params_after": (last, size_from if final is not None else "sparsity"),
        "average_density": (schedule.average_density, "schedule"),
        "start_step": (schedule.start, "schedule"),
        "end_step": (schedule.end, "schedule"),
        "total_steps": (schedule.total, "schedule"),
        "start_compute_share": (shares[0], "schedule"),
        "end_compute_share": (shares[1], "schedule"),
        "dense_steps": (schedule.compute, "schedule"),
        "batch_tokens": (batch, batch_from),
        "tokens": (tokens, "total_steps x batch_tokens"),
        "training_flops": (flops, "6 N_avg D"),
        "loss": (loss, source),
        "loss_low": (low, source),
        "loss_high": (high, source),
        "equal_dense_params": (average, "dense, same loss, tokens and FLOPs"),
        "inference_saving": (average / last, "N_avg / N_after"),
        "cheapest_dense_params": (cheapest.N, "dense, same loss, least FLOPs"),
        "cheapest_dense_tokens": (cheapest.D, "dense, same loss, least FLOPs"),
        "cheapest_dense_flops": (6 * cheapest.N * cheapest.D, "dense, same loss, least FLOPs"),
    }
    notes = [
        f"{shares[0]:.1%} and {shares[1]:.1%} of the compute are "
        f"{schedule.start / schedule.total:.1%} and {schedule.end / schedule.total:.1%} of the "
        "steps",
        "the loss law knows the average size, not when the pruning happens",
        f"{unprunable:.4g} of N are never pruned, and 6 N D counts them like the others"
        if unprunable
        else "N counts prunable weights only, or all are prunable",
    ]
    saved = 2 * (cheapest.N - last)
    if saved > 0:
        more = max(0.0, flops - 6 * cheapest.N * cheapest.D)
        rows["break_even_tokens"] = (more / saved, "served, against the cheapest dense")
    else:
        notes.append(
            "no break-even: the dense model that reaches this loss with least compute is smaller "
            "than this one after pruning"
        )
    if far > 1:
        notes.append(f"the loss is predicted {far:.3g} times outside the runs")
    pd = require("pandas", "plan")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "source"])
    return SparsePlan(schedule, batch, table.rename_axis("quantity"), tuple(notes))


def sweep(
    *,
    params: float,
    dense_steps: float,
    batch: float,
    unprunable: float = 0.0,
    every: int = 100,
    fitted: Fit | None = None,
    beyond: bool = False,
) -> pd.DataFrame:
    """80 schedules of one size and one compute with their predicted losses, the least first.

    Args:
        params: N before pruning.
        dense_steps: the compute, in steps of the unpruned model.
        batch: tokens per step.
        unprunable: how many of N are never pruned.
        every: steps between prunings.
        fitted: as in ``plan_sparse``.
        beyond: answer beyond the reach of the loss law.

    Returns:
        sparsity, start and end (shares of the compute), start_step, end_step, total_steps, compute
        (in dense steps, equal up to rounding), params_average, params_after, tokens and loss.

    Raises:
        InputError: as ``plan_sparse``.
    """
    pd = require("pandas", "plan")
    fit, rows = _law(fitted), []
    for sparsity, start, end in product(SPARSITIES, STARTS, ENDS):
        found = ComputeRule(sparsity, start, end).schedule(dense_steps, every)
        average = unprunable + (params - unprunable) * found.average_density
        tokens = found.total * batch
        rows.append({
            "sparsity": sparsity, "start": start, "end": end, "start_step": found.start,
            "end_step": found.end, "total_steps": found.total, "compute": found.compute,
            "params_average": average,
            "params_after": unprunable + (params - unprunable) * (1 - sparsity),
            "tokens": tokens, "loss": _loss(fit, average, tokens, beyond)[0],
        })  # fmt: skip
    return pd.DataFrame(rows).sort_values("loss", kind="stable").reset_index(drop=True)


def _check(
    given: dict[str, float | None],
    steps: tuple[int, int, int] | None,
    unprunable: float,
    batch: float | None,
) -> None:
    sizes = (given["params"] is not None) + (given["final"] is not None)
    lengths = (given["compute"] is not None) + (given["tokens"] is not None) + (steps is not None)
    alone = sizes == 0 and given["compute"] is not None
    if sizes > 1 or lengths != 1 or not (sizes or alone):
        raise InputError(
            "give --compute, or one of --params and --final with one of --compute, --tokens and "
            "--steps",
            got={name: value for name, value in {**given, "steps": steps}.items() if value},
        )
    if steps is not None and batch is None:
        raise InputError("--steps needs the tokens of a step", hint="Give --batch-tokens")
    values = [*given.values(), batch]
    if not all(v is None or (v > 0 and math.isfinite(v)) for v in values):
        raise InputError(
            "compute, sizes, tokens and batch must be positive and finite",
            got={**given, "batch": batch},
        )
    if not (unprunable >= 0 and math.isfinite(unprunable)):
        raise InputError("the unprunable part of N cannot be negative", got=unprunable)


def _leaves_some(size: float, unprunable: float, what: str) -> None:
    if size <= unprunable:
        raise InputError(
            f"{what} must be larger than its unprunable part of {unprunable:.4g}",
            got=f"{size:.4g}",
            hint="Prune less, or take a larger model",
        )


def _law(fitted: Fit | None) -> Fit:
    fit = fitted or reference()
    if not isinstance(fit.law, Chinchilla) or fit.law.columns not in (("N", "D"), ("N_avg", "D")):
        raise InputError("the plan needs a Chinchilla law of N or N_avg and D", got=fit.law.name)
    if not fit.separable:
        raise InputError("the constants of this fit are not separable", hint="Fit other runs")
    return fit


def _loss(fit: Fit, size: float, tokens: float, beyond: bool) -> tuple[float, ...]:
    pd = require("pandas", "plan")
    asked = pd.DataFrame([[size, tokens]], columns=list(fit.law.columns))
    told = fit.predict(asked, beyond=beyond, file="the plan").iloc[0]
    return tuple(float(told[name]) for name in ("value", "low", "high", "extrapolation"))


def _batch(size: float, tokens: float) -> float:
    try:
        return advise(size, tokens, schedule=FIXED_FINAL_RATE).batch_tokens
    except InputError as error:
        raise InputError(f"no batch size: {error}", hint="Give --batch-tokens") from None
