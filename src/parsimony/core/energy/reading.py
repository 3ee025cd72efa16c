"""What a meter found, and the arithmetic that turns samples and counters into joules."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from parsimony.core.errors import MeterError
from parsimony.core.footprint import Figure

Quality = Literal["measured", "sampled", "estimated", "none"]
MISSING = 0.2  # largest share of samples that may be missing


@dataclass(frozen=True)
class Reading:
    """Energy of one window.

    Attributes:
        joules: gross, idle power included; ``None`` where ``quality`` is none.
        seconds: length of the window.
        source: the meter and what it covers.
        quality: how it was obtained.
        idle_watts: mean power of the same meter at rest, before the work; ``None`` unless asked.
        reason: why there is no energy; empty otherwise.
    """

    joules: float | None
    seconds: float
    source: str
    quality: Quality
    idle_watts: float | None = None
    reason: str = ""

    @classmethod
    def none(cls, seconds: float, source: str, reason: str) -> Reading:
        """Time only, and why."""
        return cls(None, seconds, source, "none", None, reason)

    @property
    def watts(self) -> float | None:
        """Mean gross power."""
        return None if self.joules is None else self.joules / self.seconds

    @property
    def net_joules(self) -> float | None:
        """joules - idle_watts * seconds, where both are known."""
        if self.joules is None or self.idle_watts is None:
            return None
        return self.joules - self.idle_watts * self.seconds

    def beside(self, idle_watts: float | None) -> Reading:
        """The same with the idle power noted."""
        return replace(self, idle_watts=idle_watts)

    def figure(self) -> Figure:
        """Gross watt-hours, for a footprint."""
        if self.joules is None or self.quality == "none":
            return Figure.unknown(self.reason)
        return Figure(self.joules / 3600, self.quality, f"{self.source}, idle included")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def wrapped(before: int, after: int, span: int) -> int:
    """Difference of two reads of a counter that restarts at 0 after ``span``."""
    return after - before if after >= before else after + span - before


def trapezoid(
    times: npt.ArrayLike, watts: npt.ArrayLike, begin: float, end: float, step: float | None = None
) -> float:
    """Joules between ``begin`` and ``end``: power is linear between samples.

    Before the first and after the last sample power is theirs, for as long as one step.

    Args:
        times: seconds, ascending; shape (n,).
        watts: shape (n,).
        begin: in the clock of ``times``.
        end: after ``begin``.
        step: seconds between samples; the median when left out.

    Raises:
        MeterError: fewer than two samples; samples that do not cover the window; more than 20 %
            of them missing; power that is negative or not finite.
    """
    t, w = np.asarray(times, np.float64), np.asarray(watts, np.float64)
    if len(t) < 2 or (np.diff(t) <= 0).any():
        raise MeterError("power needs two samples or more, in ascending time", got=len(t))
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise MeterError("power must be finite and not negative", got=float(w.min()))
    step = float(np.median(np.diff(t))) if step is None else step
    if t[0] > begin + step or t[-1] < end - step:
        raise MeterError(
            f"the samples must cover the window: they begin {t[0] - begin:+.3g} s from its "
            f"beginning and end {t[-1] - end:+.3g} s from its end"
        )
    inside = t[(t > begin) & (t < end)]
    expected = (end - begin) / step
    if len(inside) < (1 - MISSING) * expected - 1:
        raise MeterError(
            f"at most {MISSING:.0%} of the samples may be missing",
            got=f"{len(inside)} of {expected:.0f}",
        )
    at = np.concatenate([[begin], inside, [end]])
    return float(np.trapezoid(np.interp(at, t, w), at))
