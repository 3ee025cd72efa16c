"""Energy counters of this machine, or the reason why there is none.

NVML's total-energy counter (millijoules, Volta and later) and RAPL's package counters
(microjoules, which wrap around) are read before and after; nothing is estimated.
"""

from __future__ import annotations

from pathlib import Path

from parsimony.core.footprint import Figure

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """``start()``, work, ``stop()``: watt-hours drawn in between, idle power included.

    Args:
        device: ``"cuda"`` reads NVML for device 0; anything else reads RAPL.
        powercap: folder of the RAPL zones; another one in tests.
    """

    def __init__(self, device: str = "cpu", powercap: Path = _POWERCAP) -> None:
        self._device = device
        self._powercap = powercap
        self._before: dict[Path, int] | int | None = None
        self._reason = ""

    def start(self) -> None:
        """Read the counter; a failure is kept as the reason that ``stop`` gives."""
        try:
            self._before = self._read()
        except (OSError, ValueError) as error:
            self._before, self._reason = None, str(error)

    def stop(self) -> Figure:
        """Watt-hours since ``start``, or unknown with the reason."""
        if self._before is None:
            return Figure.unknown(self._reason or "the meter was not started")
        try:
            after = self._read()
            if isinstance(self._before, int) and isinstance(after, int):
                joules = (after - self._before) / 1e3
                return Figure(joules / 3600, "measured", "NVML, idle included")
            assert isinstance(self._before, dict) and isinstance(after, dict)
            joules = sum(
                wrapped(before, after[zone], self._range(zone)) / 1e6
                for zone, before in self._before.items()
            )
        except (OSError, ValueError) as error:
            return Figure.unknown(f"the counter could not be read again: {error}")
        except KeyError:
            return Figure.unknown("a RAPL package vanished between the two reads")
        return Figure(joules / 3600, "measured", "RAPL packages, idle included")

    def _read(self) -> dict[Path, int] | int:
        if self._device.startswith("cuda"):
            return _nvml_millijoules()
        zones = sorted(self._powercap.glob("intel-rapl:[0-9]*/energy_uj"))
        packages = [zone for zone in zones if zone.parent.name.count(":") == 1]
        if not packages:
            raise OSError("this machine exposes no RAPL energy counter")
        try:
            return {zone: int(zone.read_text()) for zone in packages}
        except PermissionError:
            raise OSError("the RAPL energy counter is readable by root only") from None

    @staticmethod
    def _range(zone: Path) -> int:
        return int((zone.parent / "max_energy_range_uj").read_text())


def wrapped(before: int, after: int, span: int) -> int:
    """Difference of two reads of a counter that restarts at 0 after ``span``."""
    return after - before if after >= before else after + span - before


def _nvml_millijoules() -> int:
    try:
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)))
    except ImportError:
        raise OSError("nvidia-ml-py is not installed") from None
    except pynvml.NVMLError as error:
        raise OSError(f"NVML gives no energy counter: {error}") from None
