"""How the report writes numbers: aligned, with as many digits as the intervals support."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from parsimony.core import units
from parsimony.core.headlines import Headline
from parsimony.report.schema import Interval, Metric


@dataclass(frozen=True)
class Scores:
    """Writes values of one metric.

    Attributes:
        share: the metric is a fraction and is shown as percent.
        decimals: digits after the point.
    """

    share: bool
    decimals: int

    @classmethod
    def of(cls, metric: Metric, intervals: Sequence[Interval]) -> Scores:
        """Two significant digits of the narrowest interval; at least one decimal, at most four."""
        share = metric.unit == "share"
        widths = [(i.high - i.low) * (100 if share else 1) for i in intervals if i.high > i.low]
        narrowest = min(widths, default=1.0)
        return cls(share, min(4, max(1, 1 - math.floor(math.log10(narrowest)))))

    def number(self, value: float) -> str:
        """``0.7312`` -> ``"73.1"``, without its unit."""
        return _minus(f"{value * (100 if self.share else 1):.{self.decimals}f}")

    def score(self, value: float) -> str:
        """``0.7312`` -> ``"73.1%"``."""
        return self.number(value) + ("%" if self.share else "")

    def difference(self, value: float) -> str:
        """``-0.021`` -> ``"−2.1"``, with its sign; of shares in percentage points."""
        text = f"{value * (100 if self.share else 1):+.{self.decimals}f}"
        return _minus(text if float(text) else text[1:])

    def tick(self, value: float) -> str:
        """A short label for an axis."""
        return _minus(f"{value * 100:.4g}%" if self.share else f"{value:.4g}")


@dataclass(frozen=True)
class Scale:
    """Maps values to percent of the width of an interval bar."""

    low: float
    high: float

    @classmethod
    def of(cls, intervals: Sequence[Interval], *, zero: bool = False) -> Scale:
        """A scale on which every interval fits (and zero, when asked for)."""
        ends = [end for i in intervals for end in (i.low, i.estimate, i.high)] + [0.0] * zero
        return cls(min(ends), max(ends)) if ends else cls(0.0, 1.0)

    def __call__(self, value: float) -> str:
        if self.high == self.low:
            return "50.0"
        return f"{6 + 88 * (value - self.low) / (self.high - self.low):.1f}"


def quantity(value: float, unit: str) -> str:
    """A value with its unit: ``(-2.5, "J")`` -> ``"−2.5 J"``."""
    return _minus(units.write(value, unit))


def headline(number: Headline) -> str:
    """A number of a run: ``"73.1% [70, 76.1%]"``, or with the reason why it has no interval."""
    told = quantity(number.value, number.unit)
    if number.low is None or number.high is None:
        return f"{told} ({number.reason})"
    return f"{told} [{quantity(number.low, number.unit)}, {quantity(number.high, number.unit)}]"


def difference(value: float, unit: str) -> str:
    """A difference with its sign: ``(0.021, "share")`` -> ``"+2.1 points"``."""
    if unit == "share":
        return _minus(f"{100 * value:+.3g} points")
    return ("+" if value > 0 else "") + quantity(value, unit)


def error(value: float) -> str:
    """A relative error: ``-0.0426`` -> ``"−4.3%"``; exactly zero reads ``"exact"``."""
    return "exact" if value == 0 else _minus(f"{100 * value:+.1f}%")


def error_tick(value: float) -> str:
    """The same for an axis: ``0.05`` -> ``"+5%"``."""
    return "0" if abs(value) < 1e-12 else _minus(f"{100 * value:+.3g}%")


def plain(value: object) -> str:
    """Any JSON value as a reader would write it: ``0.002``, ``yes``, ``none``, ``a, b``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(plain(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def settings(values: dict[str, object]) -> str:
    """``{"learning_rate": 0.002}`` -> ``"learning rate 0.002"``, kept in one line."""
    pairs = [f"{name} {plain(value)}" for name, value in values.items()]
    return " · ".join(pair.replace("_", " ").replace(" ", "\N{NO-BREAK SPACE}") for pair in pairs)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
