"""Learning-rate schedules by name, for ``core.training``; those of an area are found by looking."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from parsimony.core.errors import InputError, nearest
from parsimony.core.registry import discover

LINEAR = "linear"
"""Warm-up, then linear to zero, by steps: ``core.training``'s own."""

_PROBE = 1024


@dataclass(frozen=True)
class Course:
    """What a schedule follows from, of a training.

    Attributes:
        learning_rate: peak, of groups that have none of their own.
        batch: rows per step.
        row_tokens: mean tokens of a row, at least 1.
        total_tokens: of all steps.
        warmup: share of ``total_tokens`` spent warming up, in [0, 1).
    """

    learning_rate: float
    batch: int
    row_tokens: int
    total_tokens: int
    warmup: float


class NamedSchedule(LRScheduler, ABC):
    """A schedule over tokens that a training builds by its name.

    Attributes:
        name: lower-case words joined by hyphens.
    """

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def of_run(cls, optimizer: Optimizer, course: Course, options: Mapping[str, Any]) -> Self:
        """The schedule of a training; ``options`` replace what follows from its course.

        Raises:
            InputError: an option that there is not, or a bad value of one.
        """

    @abstractmethod
    def expect(self, tokens: int) -> None:
        """Let the next ``step()`` count ``tokens`` tokens."""


@functools.cache
def schedules() -> dict[str, type[NamedSchedule]]:
    """Every schedule by name. Outside packages add theirs as entry points ``parsimony.tune``."""
    return discover("parsimony.tune", NamedSchedule, "parsimony.tune")  # type: ignore[type-abstract]


def check_name(name: str) -> None:
    """Refuse a schedule that there is not.

    Raises:
        InputError: the nearest is named.
    """
    if name != LINEAR and name not in schedules():
        raise InputError(f"unknown schedule '{name}'", hint=nearest(name, [LINEAR, *schedules()]))


def tokens_in(batch: Mapping[str, Any]) -> int:
    """Tokens of a batch that are no padding; rows, where a row is not made of tokens."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    if "input_ids" in batch:
        return int(batch["input_ids"].numel())
    return len(batch["labels"])


def count_tokens(
    rows: Any, collate: Callable[[list[Any]], Mapping[str, Any]], steps: int, batch: int
) -> tuple[int, int]:
    """Mean tokens of a row and tokens of all steps, each at least 1.

    The last batch of an epoch is as short as it comes. Exact where all rows are equally long;
    otherwise from at most 1024 rows, spread evenly over all, so that the end that a schedule plans
    comes a little before or after the last step.
    """
    epoch = -(-len(rows) // batch)
    seen = steps // epoch * len(rows) + steps % epoch * batch
    probe = range(0, len(rows), -(-len(rows) // _PROBE))
    mean = sum(tokens_in(collate([rows[i]])) for i in probe) / len(probe)
    return max(1, round(mean)), max(1, round(seen * mean))
