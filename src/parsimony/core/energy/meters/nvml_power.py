"""NVML's power of a GPU, polled: milliwatts, integrated by the trapezoid rule.

Newer GPUs report the mean of the last second, so a window's first second is partly what was before.
"""

from __future__ import annotations

from parsimony.core.energy.meter import EnergyMeter
from parsimony.core.energy.nvml import gpu
from parsimony.core.energy.polling import Polling
from parsimony.core.energy.reading import trapezoid


class NvmlPower(EnergyMeter):
    """The GPU alone, at ten samples a second."""

    name = "nvml-power"
    quality = "sampled"
    devices = frozenset({"cuda"})
    tick = 0.1

    @property
    def source(self) -> str:
        return "NVML power"

    def check(self) -> None:
        self._watts()

    def _begin(self) -> None:
        self.samples: list[tuple[float, float]] = []
        self._polling = Polling(self._sample, self.tick)
        self._polling.start()

    def _end(self, begin: float, end: float) -> float:
        self._polling.stop()
        times, watts = zip(*self.samples, strict=True)
        return trapezoid(times, watts, begin, end, self.tick)

    def _sample(self) -> None:
        self.samples.append((self.clock(), self._watts()))

    def _watts(self) -> float:
        with gpu(self.device) as (nvml, handle):
            return float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1e3
