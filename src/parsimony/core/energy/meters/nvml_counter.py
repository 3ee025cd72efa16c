"""NVML's counter of a GPU's total energy: millijoules, Volta and later, read before and after."""

from __future__ import annotations

from parsimony.core.energy.meter import EnergyMeter
from parsimony.core.energy.nvml import gpu


class NvmlCounter(EnergyMeter):
    """The GPU alone. The counter ticks slowly (pynvml 18, pyJoules 17): windows last 5 s."""

    name = "nvml-counter"
    quality = "measured"
    devices = frozenset({"cuda"})
    tick = 0.1

    @property
    def source(self) -> str:
        return "NVML energy counter"

    def check(self) -> None:
        self._millijoules()

    def _begin(self) -> None:
        self._before = self._millijoules()

    def _end(self, begin: float, end: float) -> float:
        return (self._millijoules() - self._before) / 1e3

    def _millijoules(self) -> int:
        with gpu(self.device) as (nvml, handle):
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
