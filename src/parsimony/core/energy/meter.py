"""The interface of all energy meters, the rules that reject a reading, and the choice of one."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from parsimony.core.energy.reading import Quality, Reading
from parsimony.core.errors import InputError, MeterError, nearest
from parsimony.core.registry import discover

_LONGEST = 5.0  # seconds
_TICKS = 100


class EnergyMeter(ABC):
    """``start()``, work, ``stop()``: the energy drawn in between.

    Attributes:
        name: of the meter, and of its file.
        quality: of its readings.
        devices: kinds of device that it covers.
        tick: seconds between two changes of what it reads; 0 when it does not matter.
        clock: seconds; that of the samples where it has some.

    Args:
        device: ``"cpu"`` or ``"cuda"``, or ``"cuda:1"`` for another GPU than the first.
    """

    name: ClassVar[str]
    quality: ClassVar[Quality]
    devices: ClassVar[frozenset[str]]
    tick: ClassVar[float] = 0.0
    clock: Callable[[], float] = staticmethod(time.perf_counter)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._begun: float | None = None

    @property
    def window(self) -> float:
        """Shortest window in seconds: 100 ticks, or 5 s where those take longer."""
        return shortest_window(self.tick)

    @property
    @abstractmethod
    def source(self) -> str:
        """The meter and what it covers, in a few words."""

    @abstractmethod
    def check(self) -> None:
        """Read it once.

        Raises:
            MeterError: it cannot be read here, and why.
        """

    @abstractmethod
    def _begin(self) -> None:
        """Note where the window begins."""

    @abstractmethod
    def _end(self, begin: float, end: float) -> float:
        """Joules of the window, whose ends are in ``clock``; lets go of what ``_begin`` took."""

    def start(self) -> None:
        """Begin a window.

        Raises:
            MeterError: the meter cannot be read here, and why.
        """
        synchronise(self.device)
        self._begin()
        self._begun = self.clock()

    def stop(self) -> Reading:
        """The window's energy; none with the reason where the reading cannot be trusted.

        Raises:
            MeterError: it was not started.
        """
        if self._begun is None:
            raise MeterError("a meter must be started before it is stopped", got=self.name)
        synchronise(self.device)
        begin, end, self._begun = self._begun, self.clock(), None
        seconds = end - begin
        try:
            joules = self._end(begin, end)
            if seconds < self.window:
                raise MeterError(
                    f"a window of this meter must last {self.window:.3g} s ({_TICKS} ticks, or "
                    f"{_LONGEST:g} s), but lasted {seconds:.3g} s",
                    hint="Repeat the work inside the window",
                )
            if not 0 <= joules < float("inf"):
                raise MeterError("energy must be finite and not negative", got=joules)
        except MeterError as error:
            return Reading.none(seconds, self.source, str(error))
        return Reading(joules, seconds, self.source, self.quality)


def shortest_window(tick: float) -> float:
    """Seconds that a window must last where the counter changes every ``tick`` seconds."""
    return min(_LONGEST, _TICKS * tick)


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize(device)


def known() -> dict[str, type[EnergyMeter]]:
    """Every meter by its name."""
    return discover("parsimony.core.energy.meters", EnergyMeter)  # type: ignore[type-abstract]


def find(name: str, device: str = "cpu") -> EnergyMeter:
    """The meter of that name, seen to work here.

    Raises:
        InputError: no meter has that name.
        MeterError: it cannot be read here.
    """
    meters = known()
    if name not in meters:
        raise InputError(f"unknown meter '{name}'", hint=nearest(name, meters))
    found = meters[name](device)
    found.check()
    return found


def best(device: str = "cpu", *, estimate: bool = False) -> EnergyMeter:
    """The most trusted meter that works here: measured, then sampled, then estimated.

    Args:
        device: see ``EnergyMeter``.
        estimate: take an estimate where nothing can be read.

    Raises:
        MeterError: none works; says which were tried and why each failed.
    """
    kind = device.split(":")[0]
    order = ("measured", "sampled", "estimated") if estimate else ("measured", "sampled")
    failed = []
    fitting = [m for m in known().values() if kind in m.devices and m.quality in order]
    for found in sorted(fitting, key=lambda m: order.index(m.quality)):
        try:
            return find(found.name, device)
        except InputError as error:
            failed.append(f"{found.name}: {error}")
    raise MeterError(
        f"no energy meter can be read ({'; '.join(failed) or f'none is for {device}'})",
        hint="" if estimate else "Ask for an estimate to get one, labelled so",
    )


def idle_watts(
    meter: EnergyMeter, seconds: float = 10.0, sleep: Callable[[float], None] = time.sleep
) -> float:
    """Mean power at rest, over a window of ``seconds`` in which this process sleeps.

    Raises:
        MeterError: the reading cannot be trusted.
    """
    meter.start()
    sleep(seconds)
    reading = meter.stop()
    if reading.watts is None:
        raise MeterError(f"idle power could not be read: {reading.reason}")
    return reading.watts
