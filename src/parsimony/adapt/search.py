"""Draw configurations up front, halve them rung by rung, rerun the finalists on every seed.

Everything is decided by the seed before the first trial starts; at a rung all candidates are
compared at the same step, so neither the number of workers nor who finishes first matters.
Sampling and storage are Optuna's (``study.journal`` opens in its dashboard).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from parsimony.adapt.method import method
from parsimony.adapt.setup import Candidate, Plan, Setup
from parsimony.adapt.solve import Calibration, Option, predict
from parsimony.core import units
from parsimony.core.budget import Budget
from parsimony.core.errors import BudgetError, InputError
from parsimony.core.workers import Engine

# Shares of the full training after which candidates are compared.
_RUNGS = (1 / 8, 3 / 8)
_KEEP = 1 / 3
_DROPOUTS = (0.0, 0.1)
# Share of the time budget that is planned for; the rest covers what no prediction sees.
_SAFETY = 0.85


@dataclass(frozen=True)
class Scale:
    """How much evidence to gather.

    Attributes:
        epochs: passes over the training data of a full training.
        configurations: drawn per method.
        finalists: methods in the final comparison, baselines not counted.
        seeds: of the final comparison.
    """

    epochs: float
    configurations: int
    finalists: int
    seeds: int


# From most to least evidence. Three seeds are the fewest that give an interval over seeds.
_SCALES = [
    Scale(epochs, configurations, finalists, seeds)
    for epochs in (4, 3, 2, 1.5, 1, 0.5)
    for configurations, finalists, seeds in ((3, 4, 5), (2, 4, 5), (2, 3, 5), (1, 3, 5), (1, 3, 3),
                                             (1, 2, 3))
]  # fmt: skip
_DEFAULT = Scale(epochs=3, configurations=2, finalists=4, seeds=5)


def choose_scale(
    setup: Setup,
    options: dict[str, Option],
    speeds: dict[str, Calibration],
    rows: dict[str, int],
    budget: Budget,
    spent: float,
    workers: int,
    fixed: dict[str, Any],
) -> tuple[Scale, float]:
    """The most evidence that the time allows, and its predicted wall time in seconds.

    Args:
        setup: batch size.
        options: what fits, by method.
        speeds: of this machine, by the form of the base (see ``core.thrift``).
        rows: number of rows per split.
        budget: its ``time`` limits the whole run.
        spent: seconds that planning has taken of it.
        workers: trials side by side.
        fixed: fields of ``Scale`` the user gave.

    Raises:
        BudgetError: even the least evidence takes longer.
    """
    seconds = None if budget.time is None else max(0.0, budget.time - spent)
    scales = [_DEFAULT] if seconds is None else _SCALES
    cheapest = math.inf
    for scale in scales:
        scale = Scale(**{**vars(scale), **fixed})
        wall = predicted_seconds(setup, options, speeds, rows, scale, workers)
        if seconds is None or wall <= seconds * _SAFETY:
            return scale, wall
        cheapest = min(cheapest, wall)
    assert seconds is not None
    # A minute more than predicted: planning does not always take equally long.
    minutes = math.ceil((spent + cheapest / _SAFETY) / 60) + 1
    raise BudgetError(
        f"even the shortest search needs about {units.format_seconds(cheapest)} here, "
        f"more than the {units.format_seconds(seconds)} that are left for training",
        nearest=str(replace(budget, time=60.0 * minutes)),
    )


def scale_untimed(budget: Budget, fixed: dict[str, Any]) -> Scale:
    """The evidence where no step can be timed.

    Raises:
        InputError: the budget limits a time that nobody can tell.
    """
    if budget.time is not None:
        raise InputError(
            "the time of a model without weights cannot be told", got=str(budget),
            hint="Leave out time=, or add the weights",
        )  # fmt: skip
    return Scale(**{**vars(_DEFAULT), **fixed})


def predicted_seconds(
    setup: Setup,
    options: dict[str, Option],
    speeds: dict[str, Calibration],
    rows: dict[str, int],
    scale: Scale,
    workers: int,
) -> float:
    """Predicted wall time of the whole search and final comparison."""
    steps = total_steps(rows["train"], setup.batch, scale.epochs)
    whole = sorted(
        predict(o, speeds[o.thrift.base], steps, rows_scored(rows), 2 * setup.asked).seconds.value
        or 0.0
        for o in options.values()
    )
    typical = whole[len(whole) // 2]
    baselines = sum(1 for name in options if method(name).baseline)
    others = len(options) - baselines
    first = (others + baselines) * scale.configurations
    second = max(_kept(others * scale.configurations), min(scale.finalists, others))
    second += baselines * _kept(scale.configurations)
    finals = (min(scale.finalists, others) + baselines) * scale.seeds
    work = typical * (first * _RUNGS[0] + second * (_RUNGS[1] - _RUNGS[0]) + finals)
    startup = max(speeds[o.thrift.base].startup for o in options.values())
    starts = (first + second + finals) * startup
    # The last trials of a rung leave workers idle; half a training covers it.
    return (work + starts) / workers + typical / 2 * (workers > 1)


def rows_scored(rows: dict[str, int]) -> int:
    """Held-out rows a full training scores: validation at each evaluation, test once."""
    return (len(_RUNGS) + 1) * rows["validation"] + rows["test"]


def total_steps(rows: int, batch: int, epochs: float) -> int:
    """Optimizer steps of ``epochs`` passes, at least one per rung."""
    return max(len(_RUNGS) + 1, math.ceil(rows / batch * epochs))


def _kept(count: int) -> int:
    return math.ceil(count * _KEEP)


def draw(
    setup: Setup,
    options: dict[str, Option],
    scale: Scale,
    steps: int,
    seed: int,
    folder: Path,
) -> Plan:
    """Draw every configuration of the run.

    The first of each method is its default: the largest size that fits and the geometric middle
    of its learning rates. Writes ``study.journal`` anew.
    """
    journal = folder / "study.journal"
    journal.unlink(missing_ok=True)
    study = _study(journal, seed)
    candidates = []
    for name, option in options.items():
        sizes = (option.size, *option.smaller[:2])
        way = method(name)
        low, high = way.rates(setup.facts)
        space = {
            "method": CategoricalDistribution(list(options)),
            "size_step": IntDistribution(0, len(sizes) - 1),
        }
        if way.trains:
            space["learning_rate"] = FloatDistribution(low, high, log=True)
        if way.has_dropout:
            space["dropout"] = CategoricalDistribution(list(_DROPOUTS))
        for number in range(scale.configurations):
            fixed: dict[str, Any] = {"method": name}
            if number == 0:
                fixed |= {"size_step": 0, "learning_rate": math.sqrt(low * high), "dropout": 0.0}
                fixed = {name: value for name, value in fixed.items() if name in space}
            study.enqueue_trial(fixed)
            drawn = study.ask(space).params
            candidates.append(
                Candidate(
                    id=f"{len(candidates):03d}-{name}",
                    method=name,
                    size=sizes[drawn["size_step"]],
                    learning_rate=float(f"{drawn.get('learning_rate', 0.0):.3g}"),
                    dropout=drawn.get("dropout", 0.0),
                    thrift=option.thrift,
                )
            )
    return Plan(
        setup=setup,
        candidates=tuple(candidates),
        steps=steps,
        rungs=tuple(max(1, round(steps * share)) for share in _RUNGS),
        keep=_KEEP,
        finalists=scale.finalists,
        seeds=tuple(range(seed, seed + scale.seeds)),
    )


def _study(journal: Path, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(
            study_name="adapt",
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=optuna.samplers.RandomSampler(seed),
            load_if_exists=True,
        )


@dataclass(frozen=True)
class Outcome:
    """One trial at one rung.

    Attributes:
        candidate: index into the plan's candidates.
        rung: 0, 1, ...; the final comparison comes after the last rung.
        seed: of the trial.
        steps: trained so far.
        validation: mean score, ``None`` when the training diverged.
        promoted: goes on to the next rung (or into the final comparison).
    """

    candidate: int
    rung: int
    seed: int
    steps: int
    validation: float | None
    promoted: bool


def search(
    plan: Plan, run: Path, engine: Engine, sign: float, phase: Callable[[str, int], Any]
) -> tuple[list[Outcome], list[int]]:
    """Run the rungs and the final comparison.

    Args:
        plan: what to run.
        run: the run folder.
        engine: where trials run.
        sign: +1 where a higher score is better, -1 where a lower one is.
        phase: context manager factory for progress: title and total steps.

    Returns:
        All outcomes, and the finalists' indices, best validation first.
    """
    outcomes: list[Outcome] = []
    alive = list(range(len(plan.candidates)))
    before = 0
    for rung, stop in enumerate(plan.rungs):
        title = f"Rung {rung + 1}: {len(alive)} configurations to step {stop} of {plan.steps}"
        jobs = [_job(run, plan, index, plan.seeds[0], stop, before) for index in alive]
        results = _run(engine, jobs, title, phase)
        ranking = _rank(alive, results, sign)
        last = rung + 1 == len(plan.rungs)
        going = _finalists(plan, ranking) if last else _promote(plan, ranking)
        for index, result in zip(alive, results, strict=True):
            outcomes.append(
                Outcome(index, rung, plan.seeds[0], stop, result["validation"], index in going)
            )
        alive, before = sorted(going), stop
    finalists = [index for index in ranking if index in alive]
    title = f"Final comparison: {len(finalists)} candidates on {len(plan.seeds)} seeds"
    pairs = [(index, seed) for seed in plan.seeds for index in finalists]
    jobs = [
        _job(run, plan, i, s, plan.steps, before if s == plan.seeds[0] else 0) for i, s in pairs
    ]
    results = _run(engine, jobs, title, phase)
    for (index, seed), result in zip(pairs, results, strict=True):
        outcomes.append(
            Outcome(index, len(plan.rungs), seed, plan.steps, result["validation"], False)
        )
    _tell(plan, run, outcomes)
    return outcomes, finalists


def _job(
    run: Path, plan: Plan, candidate: int, seed: int, stop: int, before: int
) -> dict[str, Any]:
    return {"run": str(run), "candidate": candidate, "seed": seed, "stop": stop,
            "units": stop - before}  # fmt: skip


def _run(
    engine: Engine,
    jobs: list[dict[str, Any]],
    title: str,
    phase: Callable[[str, int], Any],
) -> list[dict[str, Any]]:
    with phase(title, sum(job["units"] for job in jobs)) as progress:
        return engine.map("parsimony.adapt.trial:run_trial", jobs, progress.advance)


def _rank(alive: list[int], results: list[dict[str, Any]], sign: float) -> list[int]:
    """Indices by validation, best first; diverged ones are out; the lower loss breaks ties."""
    scored = [
        (-sign * result["validation"], result["loss"], index)
        for index, result in zip(alive, results, strict=True)
        if result["validation"] is not None
    ]
    return [index for _, _, index in sorted(scored)]


def _promote(plan: Plan, ranking: list[int]) -> set[int]:
    """The best third, of each baseline among its own kind, and enough methods for the finals."""
    groups: dict[str, list[int]] = {}
    for index in ranking:
        name = plan.candidates[index].method
        groups.setdefault(name if method(name).baseline else "", []).append(index)
    going = {index for group in groups.values() for index in group[: _kept(len(group))]}
    return going | _finalists(plan, ranking)


def _finalists(plan: Plan, ranking: list[int]) -> set[int]:
    """The best configuration of each baseline and of the ``finalists`` best other methods."""
    best: dict[str, int] = {}
    for index in ranking:
        best.setdefault(plan.candidates[index].method, index)
    others = [index for name, index in best.items() if not method(name).baseline]
    baselines = [index for name, index in best.items() if method(name).baseline]
    return {*others[: plan.finalists], *baselines}


def _tell(plan: Plan, run: Path, outcomes: list[Outcome]) -> None:
    """Hand the values to the study, each candidate's last one of the first seed."""
    study = _study(run / "study.journal", plan.seeds[0])
    open_trials = {t.number for t in study.get_trials(deepcopy=False) if not t.state.is_finished()}
    last = {o.candidate: o for o in outcomes if o.seed == plan.seeds[0]}
    for index, outcome in sorted(last.items()):
        if index in open_trials:
            if outcome.validation is None:
                study.tell(index, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(index, outcome.validation)
