"""What the meters of NVIDIA GPUs share: a device of NVML, and its errors in one form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from parsimony.core.errors import MeterError


@contextmanager
def gpu(device: str) -> Iterator[tuple[Any, Any]]:
    """``(pynvml, handle)`` of ``"cuda"`` or ``"cuda:N"``: the N-th of ``CUDA_VISIBLE_DEVICES``.

    Where that is not set, the N-th in NVML's own order, which is CUDA's on machines whose GPUs
    are all alike.

    Raises:
        MeterError: no nvidia-ml-py, no driver, or NVML refuses what the block asks for.
    """
    try:
        import pynvml
    except ImportError:
        raise MeterError("nvidia-ml-py is not installed") from None
    number = int(device.partition(":")[2] or 0)
    try:
        pynvml.nvmlInit()
        yield pynvml, _handle(pynvml, number)
    except pynvml.NVMLError as error:
        raise MeterError(f"NVML does not answer: {error}") from None


def _handle(nvml: Any, number: int) -> Any:
    visible = [v for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v]
    if number >= len(visible):
        return nvml.nvmlDeviceGetHandleByIndex(number)
    name = visible[number].strip()
    if name.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(name))
    return nvml.nvmlDeviceGetHandleByUUID(name)


def conditions(device: str) -> dict[str, float]:
    """Clock (MHz), temperature (degrees Celsius) and power cap (watts), for the record."""
    with gpu(device) as (nvml, handle):
        return {
            "clock_mhz": float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            "celsius": float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            "cap_watts": nvml.nvmlDeviceGetPowerManagementLimit(handle) / 1e3,
        }


def strangers(device: str) -> dict[int, float]:
    """Other processes on the GPU: process id -> share of its memory, in [0, 1]."""
    with gpu(device) as (nvml, handle):
        total = nvml.nvmlDeviceGetMemoryInfo(handle).total
        return {
            process.pid: (process.usedGpuMemory or 0) / total
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            if process.pid != os.getpid()
        }
