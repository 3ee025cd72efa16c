"""What a paper promised, as something that runs, and the one rule that judges it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from parsimony.core.errors import InputError, nearest

Level = Literal["exact", "cpu", "gpu"]
Direction = Literal["equal", "at least", "at most"]
Source = Literal[
    "paper", "abstract", "official code", "official data", "public benchmark", "derived", "recalled"
]

LEVELS: tuple[Level, ...] = get_args(Level)
"""Cheapest first: closed form in seconds, minutes on a laptop, needs a GPU."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Measurement:
    """What one run of a claim found.

    Attributes:
        value: the figure, in the claim's unit.
        interval: lower and upper bound in the same unit, or ``None`` for an exact figure.
        note: how it was counted or measured, in one sentence.
        holds: the verdict of a claim without a published figure; ``None`` for every other claim.
    """

    value: float
    interval: tuple[float, float] | None = None
    note: str = ""
    holds: bool | None = None

    def __post_init__(self) -> None:
        # numpy's scalars are no JSON, and its True is not True.
        object.__setattr__(self, "value", _plain(self.value))
        object.__setattr__(self, "holds", _plain(self.holds))
        if self.interval is not None:
            low, high = self.interval
            object.__setattr__(self, "interval", (_plain(low), _plain(high)))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


@dataclass(frozen=True)
class Claim:
    """One promise of a paper.

    Attributes:
        name: short name, unique in its card: lower-case words joined by hyphens.
        statement: the promise, one sentence.
        published: the published figure in ``unit``; ``None`` when the promise is not a number.
        published_text: the figure as it was printed, or the promise's own words; may be empty
            when ``published`` is given.
        source: where the published figure is from. ``derived`` means computed from the paper's
            definitions; ``recalled`` means not read again, so a miss may be ours.
        unit: of ``published``, of ``tolerance`` and of the measured value.
        direction: how the measured value must lie to the published one.
        tolerance: absolute, in ``unit``; zero for counts.
        level: what it takes to run.
        run: measures it; takes seconds, minutes or a GPU by ``level``.

    Raises:
        InputError: a field breaks its rule.
    """

    name: str
    statement: str
    published: float | None
    source: Source
    unit: str
    direction: Direction
    level: Level
    run: Callable[[], Measurement]
    tolerance: float = 0.0
    published_text: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                "a claim's name must be lower-case words joined by hyphens", got=self.name
            )
        for field in ("statement", "unit"):
            if not getattr(self, field).strip():
                raise InputError(f"claim '{self.name}' needs a {field}")
        for field, allowed in (("source", Source), ("direction", Direction), ("level", Level)):
            value, known = getattr(self, field), get_args(allowed)
            if value not in known:
                raise InputError(
                    f"claim '{self.name}' has an unknown {field}",
                    got=value,
                    hint=nearest(str(value), known),
                )
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InputError(
                f"claim '{self.name}' needs a finite tolerance of at least 0", got=self.tolerance
            )
        if self.published is None and not self.published_text.strip():
            raise InputError(
                f"claim '{self.name}' needs a published figure, or the promise in words",
                hint="Give published or published_text",
            )
        if self.published is not None and not math.isfinite(self.published):
            raise InputError(
                f"claim '{self.name}' needs a finite published figure", got=self.published
            )


def claim(
    *,
    name: str,
    statement: str,
    published: float | None,
    source: Source,
    unit: str,
    direction: Direction,
    level: Level,
    tolerance: float = 0.0,
    published_text: str = "",
) -> Callable[[Callable[[], Measurement]], Claim]:
    """Turn a function of a card into a claim; see ``Claim`` for the fields.

    Every argument must be a literal: the catalogue reads them without running the card.
    """

    def decorate(run: Callable[[], Measurement]) -> Claim:
        return Claim(
            name=name,
            statement=statement,
            published=published,
            source=source,
            unit=unit,
            direction=direction,
            level=level,
            run=run,
            tolerance=tolerance,
            published_text=published_text,
        )

    return decorate


def judge(claim: Claim, measurement: Measurement) -> bool:
    """Whether ``measurement`` keeps the promise of ``claim``.

    The point value decides; the interval is shown beside it and does not widen the tolerance.
    A value that is not finite never passes. Without a published figure the measurement's own
    ``holds`` decides, and an absent one does not pass.
    """
    if not math.isfinite(measurement.value):
        return False
    if claim.published is None:
        return measurement.holds is True
    above = measurement.value - claim.published
    if claim.direction == "equal":
        return abs(above) <= claim.tolerance
    return above >= -claim.tolerance if claim.direction == "at least" else above <= claim.tolerance
