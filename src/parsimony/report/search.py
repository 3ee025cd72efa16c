"""The search as a reader follows it: per rung and setting, what came out and what went on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from parsimony.report import numbers
from parsimony.report.figures import is_finalist
from parsimony.report.schema import Result, Trial


@dataclass(frozen=True)
class Step:
    """One setting in one rung, with all its seeds.

    Attributes:
        steps: training steps, the most of any seed.
        validation: mean over the seeds that have a score.
    """

    rung: int
    candidate: str
    settings: str
    seeds: list[int]
    steps: int | None
    validation: float | None
    state: Literal["promoted", "finalist", "stopped"]


@dataclass(frozen=True)
class Rung:
    """A rung in one line: how many settings ran, for how many steps, how many went on."""

    rung: int
    settings: int
    steps: str
    promoted: int


def steps(result: Result) -> list[Step]:
    """The trials grouped by rung, candidate and settings; best validation score first."""
    groups: dict[tuple[int, str, str], list[Trial]] = {}
    for trial in result.trials:
        key = (trial.rung, trial.candidate, numbers.settings(trial.settings))
        groups.setdefault(key, []).append(trial)
    last = max((trial.rung for trial in result.trials), default=0)
    found = []
    for (rung, candidate, settings), trials in groups.items():
        scores = [trial.validation for trial in trials if trial.validation is not None]
        final = rung == last and any(is_finalist(result, trial) for trial in trials)
        promoted = any(trial.promoted for trial in trials)
        found.append(
            Step(
                rung,
                candidate,
                settings,
                seeds=sorted(trial.seed for trial in trials if trial.seed is not None),
                steps=max((t.steps for t in trials if t.steps is not None), default=None),
                validation=fmean(scores) if scores else None,
                state="promoted" if promoted else "finalist" if final else "stopped",
            )
        )
    sign = -1 if result.searched.higher_is_better else 1
    return sorted(
        found,
        key=lambda s: (s.rung, s.validation is None, sign * (s.validation or 0.0)),
    )


def rungs(steps: Sequence[Step]) -> list[Rung]:
    """One line per rung, in order."""
    lines = []
    for rung in sorted({step.rung for step in steps}):
        mine = [step for step in steps if step.rung == rung]
        lengths = sorted({step.steps for step in mine if step.steps is not None})
        text = f"{lengths[0]:,}" if lengths else "an unknown number of"
        text += f" to {lengths[-1]:,}" if len(lengths) > 1 else ""
        lines.append(Rung(rung, len(mine), text, sum(s.state == "promoted" for s in mine)))
    return lines
