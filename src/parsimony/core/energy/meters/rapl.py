"""RAPL: the energy counters of CPU packages and memory under Linux's powercap, in microjoules.

A counter restarts after about 262 kJ, some twenty minutes of a busy package, so it is read every
minute and the differences are added up.
"""

from __future__ import annotations

from pathlib import Path

from parsimony.core.energy.meter import EnergyMeter
from parsimony.core.energy.polling import Polling
from parsimony.core.energy.reading import wrapped
from parsimony.core.errors import MeterError

_INTERVAL = 60.0


class Rapl(EnergyMeter):
    """All packages, and the memory where it has zones of its own.

    Args:
        device: see ``EnergyMeter``.
        powercap: folder of the zones; another one in tests.
    """

    name = "rapl"
    quality = "measured"
    devices = frozenset({"cpu"})
    tick = 1e-3

    def __init__(self, device: str = "cpu", powercap: Path = Path("/sys/class/powercap")) -> None:
        super().__init__(device)
        self._powercap = powercap

    @property
    def source(self) -> str:
        return "RAPL packages and memory" if self._zones(memory=True) else "RAPL packages"

    def check(self) -> None:
        self._read()

    def _begin(self) -> None:
        self._last = self._read()
        self._microjoules = 0
        self._polling = Polling(self._add, _INTERVAL)
        self._polling.start()

    def _end(self, begin: float, end: float) -> float:
        self._polling.stop()
        return self._microjoules / 1e6

    def _add(self) -> None:
        now = self._read()
        if now.keys() != self._last.keys():
            raise MeterError("a RAPL zone appeared or vanished between two reads")
        for zone, value in now.items():
            span = self._number(zone / "max_energy_range_uj")
            self._microjoules += wrapped(self._last[zone], value, span)
        self._last = now

    def _read(self) -> dict[Path, int]:
        zones = self._zones(memory=False) + self._zones(memory=True)
        if not zones:
            raise MeterError("this machine exposes no RAPL energy counter (most virtual ones)")
        return {zone: self._number(zone / "energy_uj") for zone in zones}

    def _zones(self, memory: bool) -> list[Path]:
        """Packages ``intel-rapl:N``, or their part named dram; other parts lie inside a package."""
        found = sorted(file.parent for file in self._powercap.glob("intel-rapl:*/energy_uj"))
        if not memory:
            return [zone for zone in found if zone.name.count(":") == 1]
        parts = [zone for zone in found if zone.name.count(":") == 2]
        return [zone for zone in parts if self._named(zone) == "dram"]

    @staticmethod
    def _named(zone: Path) -> str:
        file = zone / "name"
        return file.read_text(encoding="ascii").strip() if file.is_file() else ""

    @staticmethod
    def _number(file: Path) -> int:
        try:
            return int(file.read_text(encoding="ascii"))
        except PermissionError:
            raise MeterError(f"the RAPL counter {file} is readable by root only") from None
        except (OSError, ValueError) as error:
            raise MeterError(f"the RAPL counter {file} could not be read: {error}") from None
