"""Measure one piece of work: peak memory, wall time, energy."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from parsimony.core import energy
from parsimony.core.errors import InputError
from parsimony.core.footprint import Figure


class Meter:
    """Use as a context manager around the work; the figures are there afterwards.

    Peak memory is that of the whole process on CPU (resident set), so give the work a process
    of its own; on CUDA it is what torch allocated.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._energy: energy.EnergyMeter | None = None
        self.seconds = self.energy = self.peak_memory = Figure.unknown("not measured yet")

    def __enter__(self) -> Meter:
        forget_peak(self._device)
        try:
            self._energy = energy.best(self._device)
            self._energy.start()
        except InputError as error:
            self._energy, self.energy = None, Figure.unknown(str(error))
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        energy.synchronise(self._device)
        self.seconds = Figure(time.perf_counter() - self._begin, "measured", "wall time")
        if self._energy is not None:
            self.energy = self._energy.stop().figure()
        self.peak_memory = peak_memory(self._device)


def forget_peak(device: str = "cpu") -> None:
    """Let ``peak_memory`` begin anew, where the system can."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):  # another system, or one that does not allow it
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: str = "cpu") -> Figure:
    """Peak memory so far: CUDA allocations, or the resident set of this process."""
    if device.startswith("cuda"):
        import torch

        return Figure(float(torch.cuda.max_memory_allocated()), "measured", "CUDA allocations")
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return Figure(float(line.split()[1]) * 1024, "measured", "peak resident set")
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    factor = 1 if sys.platform == "darwin" else 1024
    return Figure(float(peak * factor), "measured", "peak resident set")
