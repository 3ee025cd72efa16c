"""The rule that gives the tool its name.

Among the finalists whose paired difference to the best includes zero on validation data, take
the one with the fewest trainable parameters. What the user is then told comes from test data,
which no choice has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from parsimony.core.scoring import Metric
from parsimony.core.trials import Interval, bootstrap, paired


@dataclass(frozen=True)
class Finalist:
    """What is known of one finalist.

    Attributes:
        label: for people, e.g. ``"lora r=8"``.
        validation: scores, shape (seeds, validation rows).
        test: scores, shape (seeds, test rows).
        trainable: parameters that train, head included.
        stored_bytes: of the artifact.
        baseline: kept for comparison whatever its score.
        beside: test scores in the metrics that are shown and do not rank, by name.
    """

    label: str
    validation: np.ndarray
    test: np.ndarray
    trainable: int
    stored_bytes: int
    baseline: bool
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One finalist judged.

    Attributes:
        validation: mean with interval, the data the choice is made on.
        to_best: paired validation difference to the best; ``None`` for the best itself.
        test: mean with interval.
        test_to_best: paired test difference to the best; ``None`` for the best itself.
        verdict: ``"recommended"``, ``"no difference"`` (to the best) or ``"worse"``.
    """

    validation: Interval
    to_best: Interval | None
    test: Interval
    test_to_best: Interval | None
    verdict: str


@dataclass(frozen=True)
class Choice:
    """The decision.

    Attributes:
        best: index with the best mean validation score.
        recommended: index of the cheapest among those not told apart from the best.
        tied: indices whose difference to the best includes zero, the best among them.
        verdicts: in the order of the finalists.
    """

    best: int
    recommended: int
    tied: tuple[int, ...]
    verdicts: tuple[Verdict, ...]


def choose(finalists: list[Finalist], metric: Metric) -> Choice:
    """Judge the finalists and recommend one.

    Args:
        finalists: at least one; scores of the same seeds and rows in the same order.
        metric: says which direction is better.
    """
    means = [metric.sign * f.validation.mean() for f in finalists]
    best = int(np.argmax(means))
    to_best = [
        None if f is finalists[best] else paired(f.validation, finalists[best].validation)
        for f in finalists
    ]
    tied = tuple(i for i, gap in enumerate(to_best) if gap is None or gap.spans_zero)
    recommended = min(tied, key=lambda i: (finalists[i].trainable, finalists[i].stored_bytes, i))
    verdicts = tuple(
        Verdict(
            validation=bootstrap(f.validation),
            to_best=to_best[i],
            test=bootstrap(f.test),
            test_to_best=None if i == best else paired(f.test, finalists[best].test),
            verdict=_word(i, recommended, tied),
        )
        for i, f in enumerate(finalists)
    )
    return Choice(best, recommended, tied, verdicts)


def _word(index: int, recommended: int, tied: tuple[int, ...]) -> str:
    if index == recommended:
        return "recommended"
    return "no difference" if index in tied else "worse"


def shipped_seed(finalist: Finalist, metric: Metric) -> int:
    """Position of the seed whose artifact is handed over: the best on validation, first of ties."""
    return int(np.argmax(metric.sign * finalist.validation.mean(axis=1)))


def sentence(choice: Choice, finalists: list[Finalist], metric: Metric, total: int) -> str:
    """The recommendation in plain words.

    Args:
        total: parameters of the base model.
    """
    chosen = finalists[choice.recommended]
    share = 100 * chosen.trainable / total
    cost = f"{chosen.trainable:,} trainable parameters ({share:.3g} % of the model)"
    score = written(choice.verdicts[choice.recommended].test, metric)
    others = [finalists[i].label for i in choice.tied if i != choice.recommended]
    if others:
        lead = (
            f"Use {chosen.label}: no difference found between it and {_listed(others)}, "
            f"and it is the cheapest with {cost}."
        )
    elif len(finalists) > 1:
        lead = f"Use {chosen.label}: it beats every other finalist, with {cost}."
    else:
        lead = f"Use {chosen.label}, the only candidate, with {cost}."
    return f"{lead} Test {metric.name} {score}."


def baseline_sentence(
    choice: Choice, finalists: list[Finalist], metric: Metric, baseline: int
) -> tuple[str, Interval]:
    """How the recommendation compares with a baseline on test data, in words and as interval."""
    chosen, base = finalists[choice.recommended], finalists[baseline]
    gap = paired(chosen.test, base.test)
    means = f"{_number(chosen.test.mean(), metric)} against {_number(base.test.mean(), metric)}"
    interval = written(gap, metric, signed=True)
    if choice.recommended == baseline:
        text = f"The recommendation is the baseline itself ({base.label})."
    elif gap.spans_zero:
        text = (
            f"It does not beat the {base.label} by more than the interval: {means}, "
            f"difference {interval}."
        )
    elif metric.sign * gap.estimate > 0:
        text = f"It beats the {base.label}: {means}, difference {interval}."
    else:
        text = f"It is worse than the {base.label}: {means}, difference {interval}."
    return text, gap


def written(interval: Interval, metric: Metric, *, signed: bool = False) -> str:
    """``"72.1 % (70.0 to 74.1)"``; differences of shares are in points."""
    ends = (interval.low, interval.high)
    low, high = (_number(end, metric, signed).replace(" %", "") for end in ends)
    text = _number(interval.estimate, metric, signed)
    if signed and metric.unit == "share":
        text = text.replace(" %", " points")
    return f"{text} ({low} to {high})"


def _number(value: float, metric: Metric, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if metric.unit == "share":
        return f"{100 * value:{sign}.1f} %"
    return f"{value:{sign}.4g}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
