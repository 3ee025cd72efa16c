"""Which months train, choose and test: Job-SDF's 27/3/6 as a frozen object, for any length.

A window is ``context`` months and the ``horizon`` after them. Windows slide by one month inside
each part, whose context may reach back into the part before. An origin is the first month that a
window forecasts. What would let a test month into training, scaling or choice is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from parsimony.core.errors import InputError

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Protocol:
    """The split of ``months``.

    Attributes:
        months: of the table.
        context: months that a forecaster sees.
        horizon: months that it forecasts.
        validation: months to stop and choose by.
        test: months to report on, the last.

    Raises:
        InputError: some part has no window.
    """

    months: int = 36
    context: int = 6
    horizon: int = 3
    validation: int = 3
    test: int = 6

    def __post_init__(self) -> None:
        smallest = min(self.context, self.horizon, self.validation, self.test)
        if smallest < 1:
            raise InputError(
                "context, horizon, validation and test must be at least 1 month", got=smallest
            )
        short = self.context + self.horizon
        if self.months < short:
            raise InputError(
                f"a series needs {self.context} + {self.horizon} = {short} months for one window; "
                f"with {self.months} there are 0 windows",
                hint="Give more months, or a smaller context or horizon",
            )
        counts = {part: self._count(*self.bounds(part)) for part in ("train", "validation", "test")}
        if min(counts.values()) < 1:
            told = ", ".join(f"{count} to {part}" for part, count in counts.items())
            raise InputError(
                f"each part needs a window, but {self.months} months leave {told}",
                hint="Give more months, or a smaller context, validation or test",
            )

    @property
    def train(self) -> int:
        """Months that train: the first."""
        return self.months - self.validation - self.test

    @property
    def known(self) -> int:
        """Months before the first of the test: all that training, scaling and choice may see."""
        return self.months - self.test

    def bounds(self, part: Part) -> tuple[int, int]:
        """First month that a window of the part may forecast, and the end of the part."""
        return {
            "train": (self.context, self.train),
            "validation": (self.train, self.known),
            "test": (self.known, self.months),
        }[part]

    def _count(self, first: int, end: int) -> int:
        return max(0, end - first - self.horizon + 1)

    def origins(self, part: Part) -> tuple[int, ...]:
        """First forecast month of each window, counted from 0."""
        first, end = self.bounds(part)
        return tuple(range(first, first + self._count(first, end)))

    def choosing(self) -> tuple[int, ...]:
        """Rolling origins for choice and calibration, all inside the known months.

        Twice the horizon before the test, so that there are windows enough; at least one.
        """
        first = max(self.known - 2 * self.horizon, self.context + self.horizon + self.validation)
        return tuple(range(min(first, self.known - self.horizon), self.known - self.horizon + 1))

    def targets(self, values: np.ndarray, origins: tuple[int, ...]) -> np.ndarray:
        """What happened: shape (series, windows, horizon)."""
        return np.stack([values[:, o : o + self.horizon] for o in origins], axis=1)

    def refuse_leak(self, values: np.ndarray, purpose: str, allowed: int) -> None:
        """Refuse more months than ``allowed``.

        Args:
            values: shape (series, months), from month 0.
            purpose: what they are for, as a noun.
            allowed: ``train`` or ``known``.

        Raises:
            InputError: months of the validation or test are among them.
        """
        if values.shape[1] > allowed:
            raise InputError(
                f"{purpose} may see months 0 to {allowed - 1} only, and got {values.shape[1]} "
                "months: leakage", hint=f"Pass values[:, :{allowed}]",
            )  # fmt: skip

    def scaler(self, values: np.ndarray) -> Scaler:
        """Standardisation by the training months.

        Args:
            values: shape (series, train), no more.

        Raises:
            InputError: later months are among them.
        """
        self.refuse_leak(values, "scaling", self.train)
        return Scaler.of(values)


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and (population) standard deviation of each series; 1 where it is constant.

    Attributes:
        mean, sd: shape (series, 1).
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Scaler:
        """Of values of shape (series, months)."""
        sd = values.std(axis=1, keepdims=True)
        constant = np.ptp(values, axis=1, keepdims=True) == 0
        return cls(values.mean(axis=1, keepdims=True), np.where(constant, 1.0, sd))

    def scale(self, values: np.ndarray) -> np.ndarray:
        """To mean 0, deviation 1."""
        return (values - self.mean) / self.sd

    def back(self, scaled: np.ndarray) -> np.ndarray:
        """To the unit of the values."""
        return scaled * self.sd + self.mean


def windows(
    values: np.ndarray, context: int, horizon: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every window of ``values``.

    Args:
        values: shape (series, months).
        context, horizon: in months.

    Returns:
        inputs, shape (windows, series, context); targets, shape (windows, series, horizon); and
        the origins, shape (windows,).
    """
    both = np.lib.stride_tricks.sliding_window_view(values, context + horizon, axis=1)
    both = both.transpose(1, 0, 2)
    return both[..., :context], both[..., context:], np.arange(len(both)) + context
