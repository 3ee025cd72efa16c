"""CodeCarbon's estimate: processor load times its rated power, memory by its modules.

Where CodeCarbon finds a counter it reads that; the source names the power it took for each part,
so that nobody takes a model for a measurement (codecarbon 477, 493, 304, 583).
"""

from __future__ import annotations

import logging
from typing import Any

from parsimony.core.energy.meter import EnergyMeter
from parsimony.core.errors import MeterError, require


class CodeCarbon(EnergyMeter):
    """The whole machine, offline: no telemetry, no file, no look-up of where it stands."""

    name = "codecarbon"
    quality = "estimated"
    devices = frozenset({"cpu", "cuda"})
    tick = 1.0  # seconds between two looks at the load

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self._powers = ""

    @property
    def source(self) -> str:
        return f"CodeCarbon's model{self._powers}"

    def check(self) -> None:
        require("codecarbon", "energy")

    def _begin(self) -> None:
        package = require("codecarbon", "energy")
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # before it reads log_level
        self._tracker: Any = package.OfflineEmissionsTracker(
            country_iso_code="FRA",  # it insists on one; energy does not depend on it
            measure_power_secs=self.tick,
            save_to_file=False,
            save_to_api=False,
            allow_multiple_runs=True,
            log_level="critical",
        )
        self._tracker.start()

    def _end(self, begin: float, end: float) -> float:
        self._tracker.stop()
        found = self._tracker.final_emissions_data
        if found is None:
            raise MeterError("CodeCarbon took no measurement")
        self._powers = (
            f" (CPU {found.cpu_power:.3g} W, GPU {found.gpu_power:.3g} W, "
            f"memory {found.ram_power:.3g} W)"
        )
        # It measures from its own start to its own stop; that span is the window's, nearly.
        return float(found.energy_consumed) * 3.6e6 * (end - begin) / float(found.duration)
