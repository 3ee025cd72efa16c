"""What the runs of a study show: paired tests, corrected; equivalence; runs that are missing.

An arm is compared with the baseline block by block, so that what drifts cancels. The paired t test
decides, Wilcoxon and the check of normality stand beside it, and Holm corrects over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from parsimony.core import power, significance
from parsimony.core.errors import InputError
from parsimony.plan.energy_study.config import Study

UNITS = {"energy": "J", "power": "W", "time": "s"}


@dataclass(frozen=True)
class Trial:
    """One metered run, per repetition of the work.

    Attributes:
        block: which pair it belongs to.
        arm: its name.
        joules: gross; ``None`` where the reading was rejected.
        seconds: of one repetition.
        quality: of the reading.
        samples: the work went through, ``None`` when it does not say.
        accuracy: likewise.
        session: number of the process that ran it, from 0.
        machine: a name of the kind of machine.
        reason: why there is no energy.
        idle_watts: power at rest before the session.
    """

    block: int
    arm: str
    joules: float | None
    seconds: float
    quality: str
    samples: float | None = None
    accuracy: float | None = None
    session: int = 0
    machine: str = ""
    reason: str = ""
    idle_watts: float | None = None


@dataclass(frozen=True)
class Comparison:
    """One arm beside the baseline, in one response.

    Attributes:
        arm: its name.
        response: energy, power or time; per sample where arms see different numbers.
        pairs: blocks in which both have a figure.
        baseline: mean of the baseline.
        mean: of the arm.
        difference: mean(arm - baseline), in the response's unit.
        low: end of its t interval, of coverage 1 - alpha.
        high: the other end.
        effect: difference in standard deviations of the differences.
        p: of the paired t test.
        corrected: the same, by Holm over all comparisons of the study.
        wilcoxon: p of the signed-rank test.
        normal: p of Shapiro-Wilk on the differences; ``None`` below three pairs.
        equivalent: p that |difference| is within the margin (TOST).
        verdict: lower, higher, equivalent or not shown.
        more_runs: how many more pairs would settle a difference like this; ``None`` where settled,
            or where none of a million would.
    """

    arm: str
    response: str
    pairs: int
    baseline: float
    mean: float
    difference: float
    low: float
    high: float
    effect: float
    p: float
    corrected: float
    wilcoxon: float
    normal: float | None
    equivalent: float
    verdict: str
    more_runs: int | None

    @property
    def line(self) -> str:
        """Effect, interval, p and n in one sentence."""
        unit = UNITS[self.response.split()[0]]
        text = (
            f"{self.arm}: {self.response} {self.difference:+.4g} {unit} "
            f"({self.difference / self.baseline:+.1%}; {self.low:+.4g} to {self.high:+.4g}), "
            f"p = {self.corrected:.3g} corrected, n = {self.pairs}: {self.verdict}"
        )
        return text if self.more_runs is None else f"{text}; you need {self.more_runs} more runs"


@dataclass(frozen=True)
class Findings:
    """All that a study found.

    Attributes:
        comparisons: one per other arm and response.
        untested: what no test could answer, and why.
        warnings: what a reader must know before believing the rest.
        qualities: of the energy readings, sorted.
    """

    comparisons: tuple[Comparison, ...]
    untested: tuple[str, ...]
    warnings: tuple[str, ...]
    qualities: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def analyse(study: Study, trials: Sequence[Trial]) -> Findings:
    """Compare every arm with the baseline, in every response that was measured.

    Args:
        study: its baseline, margins and levels.
        trials: of all arms; a block counts for an arm where both its runs have a figure.
    """
    per_sample = _differ(trials)
    comparisons, untested = [], []
    for arm in study.others:
        for response in UNITS:
            base, values = _pairs(study.baseline, arm, response, trials, per_sample)
            if response != "time" and not len(base) and study.meter == "none":
                continue
            name = f"{response} per sample" if per_sample and response != "power" else response
            try:
                comparisons.append(_compare(study, arm, name, base, values))
            except InputError as error:
                untested.append(f"{arm}, {name}: {error}")
    level = study.alpha / max(1, len(comparisons))
    pooled = significance.holm([c.p for c in comparisons])
    judged = (
        _judge(replace(c, corrected=p), study, level)
        for c, p in zip(comparisons, pooled, strict=True)
    )
    qualities = {t.quality for t in trials}
    return Findings(
        tuple(judged), tuple(untested), tuple(_warnings(study, trials, per_sample)),
        tuple(sorted(qualities)),
    )  # fmt: skip


def _compare(study: Study, arm: str, name: str, base: np.ndarray, values: np.ndarray) -> Comparison:
    """Before correction: the verdict is still open."""
    test = significance.paired_t(values, base)
    low, high = significance.interval(values, base, 1 - study.alpha)
    difference, mean = float((values - base).mean()), float(base.mean())
    return Comparison(
        arm=arm,
        response=name,
        pairs=len(base),
        baseline=mean,
        mean=float(values.mean()),
        difference=difference,
        low=low,
        high=high,
        effect=significance.paired_d(values, base),
        p=test.p,
        corrected=test.p,
        wilcoxon=significance.wilcoxon(values, base).p,
        normal=significance.shapiro(values - base).p if len(base) > 2 else None,
        equivalent=significance.equivalence(values, base, study.margin * mean).p,
        verdict="not shown",
        more_runs=None,
    )


def _judge(found: Comparison, study: Study, level: float) -> Comparison:
    if found.corrected < study.alpha:
        return replace(found, verdict="lower" if found.difference < 0 else "higher")
    if found.equivalent < level:
        return replace(found, verdict=f"equivalent within {study.margin:.1%}")
    try:
        more = power.more_runs(
            found.effect, found.pairs, alpha=level, power=study.power, paired=True
        )
    except InputError:
        more = None
    # A test just missed may have the runs already that would see it with the power asked for.
    return replace(found, more_runs=None if more is None else max(1, more))


def _differ(trials: Sequence[Trial]) -> bool:
    """Whether arms went through different numbers of samples, all of them known."""
    counts = {t.samples for t in trials}
    return len(counts) > 1 and None not in counts


def _pairs(
    baseline: str, arm: str, response: str, trials: Sequence[Trial], per_sample: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values of the baseline and of the arm, block by block; each of shape (pairs,)."""
    found = {(t.arm, t.block): _value(t, response, per_sample) for t in trials}
    blocks = sorted({t.block for t in trials})
    pairs = [(found.get((baseline, b)), found.get((arm, b))) for b in blocks]
    whole = np.array([p for p in pairs if None not in p], np.float64).reshape(-1, 2)
    return whole[:, 0], whole[:, 1]


def _value(trial: Trial, response: str, per_sample: bool) -> float | None:
    if response == "power":
        return None if trial.joules is None else trial.joules / trial.seconds
    value = trial.joules if response == "energy" else trial.seconds
    if value is None or not per_sample:
        return value
    assert trial.samples is not None
    return value / trial.samples


def _warnings(study: Study, trials: Sequence[Trial], per_sample: bool) -> list[str]:
    found = []
    if per_sample:
        found.append("arms went through different numbers of samples: compared per sample only")
    elif len({t.samples for t in trials}) > 1:
        found.append("some runs do not say how many samples they went through, others do")
    for arm in study.names:
        rejected = [t for t in trials if t.arm == arm and t.joules is None]
        if rejected and study.meter != "none":
            found.append(f"{arm}: {len(rejected)} readings rejected ({rejected[0].reason})")
    split = sorted(
        {t.block for t in trials for u in trials
         if t.block == u.block and (t.session, t.machine) != (u.session, u.machine)}
    )  # fmt: skip
    if split:
        found.append(
            f"confounded: the arms of block {', '.join(map(str, split))} ran in different "
            "sessions or on different machines"
        )
    if len({t.machine for t in trials}) > 1:
        found.append("confounded: the study ran on more than one kind of machine")
    if any(t.quality == "estimated" for t in trials):
        found.append("energy is estimated from models of the hardware: it mirrors little but time")
    found += _bought(study, trials)
    return found


def _bought(study: Study, trials: Sequence[Trial]) -> list[str]:
    """Arms whose accuracy fell by more than the margin."""
    means = {}
    for arm in study.names:
        known = [t.accuracy for t in trials if t.arm == arm and t.accuracy is not None]
        if known:
            means[arm] = float(np.mean(known))
    base = means.get(study.baseline)
    if base is None:
        return []
    return [
        f"{arm}: accuracy fell from {base:.4g} to {means[arm]:.4g}, more than "
        f"{study.accuracy_margin:g}: what it saves is bought with accuracy"
        for arm in study.others
        if arm in means and base - means[arm] > study.accuracy_margin
    ]
