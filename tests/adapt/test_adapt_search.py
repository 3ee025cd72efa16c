"""Draws follow from the seed; rungs keep the best, baselines in a lane of their own."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_runs
import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.adapt import search, solve
from parsimony.adapt.method import method
from parsimony.adapt.search import Scale
from parsimony.adapt.setup import Candidate, Plan, Setup
from parsimony.core.budget import Budget
from parsimony.core.errors import BudgetError, ParsimonyError
from parsimony.testing import tiny

METHODS = ["bias", "full", "linear-probe", "lora", "vera"]
SCALE = Scale(epochs=2, configurations=3, finalists=2, seeds=3)
SPEED = replace(made_runs.SPEED, per_flop=1e-7)
ROWS = {"train": 72, "validation": 24, "test": 24}
Options = dict[str, solve.Option]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tiny.write(tmp_path_factory.mktemp("search"))
    return tiny.setup(folder, "text-classification", made_runs.KINDS)


@pytest.fixture(scope="module")
def options(setup: Setup) -> Options:
    return solve.solve(setup, Budget(), METHODS, lambda _: 0.0)[0]


@pytest.fixture
def plan(setup: Setup, options: Options, tmp_path: Path) -> Plan:
    return search.draw(setup, options, SCALE, 80, 5, tmp_path)


def drawn(setup: Setup, options: Options, seed: int, folder: Path) -> tuple[Candidate, ...]:
    return search.draw(setup, options, SCALE, 80, seed, folder).candidates


# --- drawing ---


def test_the_seed_decides_the_draw(setup: Setup, options: Options, tmp_path: Path) -> None:
    first = drawn(setup, options, 5, tmp_path)
    assert drawn(setup, options, 5, tmp_path) == first
    assert drawn(setup, options, 6, tmp_path) != first


def test_the_first_configuration_of_a_method_is_its_default(plan: Plan, options: Options) -> None:
    seen: set[str] = set()
    for candidate in plan.candidates:
        if candidate.method in seen:
            continue
        seen.add(candidate.method)
        low, high = method(candidate.method).rates(plan.setup.facts)
        assert candidate.size == options[candidate.method].size
        assert candidate.learning_rate == pytest.approx(math.sqrt(low * high), rel=5e-3)
        assert candidate.dropout == 0.0
    assert seen == set(METHODS)


def test_what_is_drawn_lies_within_what_was_allowed(plan: Plan, options: Options) -> None:
    assert len(plan.candidates) == SCALE.configurations * len(METHODS)
    assert len({c.id for c in plan.candidates}) == len(plan.candidates)
    for candidate in plan.candidates:
        way, option = method(candidate.method), options[candidate.method]
        low, high = way.rates(plan.setup.facts)
        assert candidate.size in (option.size, *option.smaller[:2])
        assert low * 0.995 <= candidate.learning_rate <= high * 1.005
        assert candidate.dropout == 0.0 or way.has_dropout
    assert plan.seeds == (5, 6, 7)
    assert plan.rungs == (10, 30) and plan.steps == 80
    assert plan.evaluations == {10, 30, 80}


def test_a_plan_reads_back_as_it_was_written(plan: Plan, tmp_path: Path) -> None:
    plan.write(tmp_path)
    found = Plan.read(tmp_path)
    assert found == replace(plan, setup=replace(plan.setup, folder=tmp_path / "data"))


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "steps"), [(72, 4, 1.5, 27), (73, 4, 1, 19), (5, 16, 0.5, 3)]
)
def test_steps_of_a_training(rows: int, batch: int, epochs: float, steps: int) -> None:
    assert search.total_steps(rows, batch, epochs) == steps


# --- ranking ---


def answers(*values: tuple[float | None, float | None]) -> list[dict[str, Any]]:
    return [{"validation": value, "loss": loss, "diverged": None} for value, loss in values]


def test_the_ranking_leaves_diverged_ones_out() -> None:
    found = answers((0.5, 1.0), (None, None), (0.7, 3.0), (0.6, 2.0))
    assert search._rank([2, 3, 5, 8], found, 1.0) == [5, 8, 2]
    assert search._rank([2, 3, 5, 8], found, -1.0) == [2, 8, 5]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_ties_go_to_the_lower_loss_then_to_the_earlier_draw(sign: float) -> None:
    found = answers((0.5, 2.0), (0.5, 1.0), (0.5, 2.0))
    assert search._rank([2, 3, 5], found, sign) == [3, 2, 5]


def test_baselines_are_promoted_among_their_own_kind(plan: Plan) -> None:
    names = [c.method for c in plan.candidates]
    others = [i for i, name in enumerate(names) if not method(name).baseline]
    baselines = [i for i, name in enumerate(names) if method(name).baseline]
    # Every baseline is worse than every other candidate, and one goes on of each all the same.
    going = search._promote(plan, [*others, *baselines])
    # A third of nine, and the best of as many methods as the final comparison takes.
    enough = {next(i for i in others if names[i] == name) for name in list(dict.fromkeys(
        names[i] for i in others))[: plan.finalists]}  # fmt: skip
    assert going & set(others) == set(others[:3]) | enough
    assert sorted(names[i] for i in going & set(baselines)) == ["full", "linear-probe"]


def test_finalists_are_the_best_of_different_methods_and_every_baseline(plan: Plan) -> None:
    names = [c.method for c in plan.candidates]

    def of(name: str) -> list[int]:
        return [i for i, other in enumerate(names) if other == name]

    ranking = [*of("lora"), *of("vera"), *of("bias"), *of("linear-probe")[::-1]]
    found = search._finalists(plan, ranking)
    # Two by SCALE; "full" diverged everywhere and is in no ranking.
    assert found == {of("lora")[0], of("vera")[0], of("linear-probe")[-1]}


@given(st.permutations(range(15)), st.integers(0, 15))
@settings(max_examples=50)
def test_promotion_keeps_a_third_and_loses_no_lane(order: list[int], alive: int) -> None:
    candidates = tuple(Candidate(str(i), METHODS[i % 5], 1, 1e-3, 0.0) for i in range(15))
    plan = Plan(None, candidates, 8, (1, 3), 1 / 3, 2, (0, 1, 2))  # type: ignore[arg-type]
    ranking = list(order)[:alive]
    going = search._promote(plan, ranking)
    lanes = {name if method(name).baseline else "" for i in ranking for name in [METHODS[i % 5]]}
    kept = {METHODS[i % 5] if method(METHODS[i % 5]).baseline else "" for i in going}
    assert going <= set(ranking)
    assert kept == lanes
    if ranking:
        first = next(i for i in ranking if METHODS[i % 5] == METHODS[ranking[0] % 5])
        assert first in going


# --- the whole search, on an engine without models ---


class Fake:
    """Answers from a table; works through its jobs in an order of its own."""

    def __init__(self, value: Callable[[int, int, int], float | None], order: int) -> None:
        self._value, self._order = value, order
        self.jobs: list[dict[str, Any]] = []

    def map(
        self, work: str, jobs: list[dict[str, Any]], progress: Callable[[float], None]
    ) -> list[dict[str, Any]]:
        assert work == "parsimony.adapt.trial:run_trial"
        self.jobs += jobs
        found: dict[int, dict[str, Any]] = {}
        for place in np.random.default_rng(self._order).permutation(len(jobs)).tolist():
            job = jobs[place]
            value = self._value(job["candidate"], job["seed"], job["stop"])
            found[place] = {"validation": value, "loss": value, "diverged": None}
            progress(job["units"])
        return [found[place] for place in range(len(jobs))]


@contextlib.contextmanager
def silent(title: str, total: float) -> Iterator[Any]:
    class Phase:
        done = 0.0

        def advance(self, amount: float) -> None:
            self.done += amount

    phase = Phase()
    yield phase
    assert phase.done == total, title


def steady(candidate: int, seed: int, stop: int) -> float | None:
    """The later drawn, the better; every fifth diverges."""
    return None if candidate % 5 == 4 else candidate / 100 + stop / 1e4 + seed / 1e6


def test_the_finalists_do_not_depend_on_who_finishes_first(plan: Plan, tmp_path: Path) -> None:
    found = [search.search(plan, tmp_path, Fake(steady, order), 1.0, silent) for order in range(4)]
    assert all(one == found[0] for one in found)
    outcomes, finalists = found[0]
    names = [plan.candidates[i].method for i in finalists]
    assert sorted(names) == ["full", "linear-probe", "lora", "vera"]
    last = [o for o in outcomes if o.rung == len(plan.rungs)]
    assert {(o.candidate, o.seed) for o in last} == {(i, s) for i in finalists for s in plan.seeds}
    assert {o.steps for o in last} == {plan.steps}
    diverged = {o.candidate for o in outcomes if o.validation is None}
    assert diverged and not diverged & set(finalists)
    for outcome in outcomes:
        later = any(o.candidate == outcome.candidate and o.rung > outcome.rung for o in outcomes)
        assert outcome.promoted == (later and outcome.rung < len(plan.rungs))


def test_lower_scores_win_where_lower_is_better(plan: Plan, tmp_path: Path) -> None:
    _, finalists = search.search(plan, tmp_path, Fake(steady, 0), -1.0, silent)
    assert {plan.candidates[i].method for i in finalists} >= {"bias", "full", "linear-probe"}
    assert finalists[0] == 0


def test_a_trial_goes_on_where_it_stopped(plan: Plan, tmp_path: Path) -> None:
    engine = Fake(steady, 0)
    _, finalists = search.search(plan, tmp_path, engine, 1.0, silent)
    of_first = [j for j in engine.jobs if j["candidate"] == finalists[0] and j["seed"] == 5]
    assert [(j["stop"], j["units"]) for j in of_first] == [(10, 10), (30, 20), (80, 50)]
    other = [j for j in engine.jobs if j["candidate"] == finalists[0] and j["seed"] == 6]
    assert [(j["stop"], j["units"]) for j in other] == [(80, 80)]


def test_the_study_holds_what_was_seen(plan: Plan, tmp_path: Path) -> None:
    outcomes, finalists = search.search(plan, tmp_path, Fake(steady, 0), 1.0, silent)
    study = search._study(tmp_path / "study.journal", 5)
    assert len(study.trials) == len(plan.candidates)
    for trial, candidate in zip(study.trials, plan.candidates, strict=True):
        last = [o for o in outcomes if o.candidate == trial.number and o.seed == 5][-1]
        assert trial.params["method"] == candidate.method
        assert trial.value == last.validation
        failed = optuna.trial.TrialState.FAIL
        assert (trial.state == failed) == (last.validation is None)
    assert study.trials[finalists[0]].value == steady(finalists[0], 5, 80)


def test_when_all_diverge_the_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ParsimonyError) as error:
        made_runs.make(tmp_path, {"bias": 0, "lora": 1}, diverged=("bias", "lora"))
    assert str(error.value) == (
        "every training of the final comparison diverged. Check the data for extreme values, or "
        "try other --methods"
    )


def test_when_all_diverge_early_there_are_no_finalists(plan: Plan, tmp_path: Path) -> None:
    outcomes, finalists = search.search(plan, tmp_path, Fake(lambda *_: None, 0), 1.0, silent)
    assert finalists == []
    assert all(o.rung == 0 and not o.promoted for o in outcomes)


# --- how much evidence the time allows ---


def scale_for(
    setup: Setup, options: Options, budget: str, spent: float = 0.0, **fixed: Any
) -> tuple[Scale, float]:
    return search.choose_scale(
        setup, options, {"fp32": SPEED}, ROWS, Budget.parse(budget), spent, 2, fixed
    )


def test_without_a_time_limit_the_default_is_taken(setup: Setup, options: Options) -> None:
    scale, seconds = scale_for(setup, options, "trainable=5%")
    assert scale == search._DEFAULT
    assert seconds == search.predicted_seconds(setup, options, {"fp32": SPEED}, ROWS, scale, 2)


def test_less_time_means_less_evidence_and_always_three_seeds(
    setup: Setup, options: Options
) -> None:
    evidence = []
    for minutes in (1000, 10, 6, 4, 3, 2):
        scale, seconds = scale_for(setup, options, f"time={minutes}min")
        assert seconds <= 60 * minutes
        assert scale.seeds >= 3
        evidence.append(search._SCALES.index(scale))
    assert evidence == sorted(evidence)
    assert evidence[0] == 0 and len(set(evidence)) > 2


def test_what_the_user_fixed_stays(setup: Setup, options: Options) -> None:
    scale, _ = scale_for(setup, options, "time=5min", seeds=4, epochs=0.25)
    assert (scale.seeds, scale.epochs) == (4, 0.25)
    scale, _ = scale_for(setup, options, "", finalists=1)
    assert scale == replace(search._DEFAULT, finalists=1)


@pytest.mark.parametrize(
    ("budget", "spent"), [("time=1s, trainable=5%", 0.0), ("time=2min", 500.0)]
)
def test_too_little_time_names_a_budget_that_suffices(
    setup: Setup, options: Options, budget: str, spent: float
) -> None:
    with pytest.raises(BudgetError) as error:
        scale_for(setup, options, budget, spent)
    assert error.value.exit_code == 3
    assert str(error.value).startswith("even the shortest search needs about ")
    assert f'The nearest budget that can be met: "{error.value.nearest}"' in str(error.value)
    nearest = Budget.parse(error.value.nearest)
    assert nearest.trainable == Budget.parse(budget).trainable
    scale, seconds = scale_for(setup, options, error.value.nearest, spent)
    assert scale.seeds == 3 and nearest.time is not None and seconds <= nearest.time - spent


def test_predicted_time_counts_every_training_once(setup: Setup, options: Options) -> None:
    """One method, one configuration, no others: two rungs and the finals, start-ups included."""
    one = {"lora": options["lora"]}
    scale = Scale(epochs=1, configurations=1, finalists=1, seeds=3)
    steps, scored = search.total_steps(72, setup.batch, 1), search.rows_scored(ROWS)
    assert scored == 3 * 24 + 24
    whole = solve.predict(one["lora"], SPEED, steps, scored).seconds.value
    assert whole is not None
    found = search.predicted_seconds(setup, one, {"fp32": SPEED}, ROWS, scale, 1)
    assert found == pytest.approx(whole * (1 / 8 + 2 / 8 + 3) + 5 * SPEED.startup)
