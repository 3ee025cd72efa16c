"""Energy meters, on made-up RAPL zones, a made-up NVML and the log of a made-up wall meter."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core import energy
from parsimony.core.energy import nvml
from parsimony.core.energy.meters.nvml_counter import NvmlCounter
from parsimony.core.energy.meters.nvml_power import NvmlPower
from parsimony.core.energy.meters.power_file import PowerFile
from parsimony.core.energy.meters.rapl import Rapl
from parsimony.core.energy.polling import Polling
from parsimony.core.energy.reading import Reading, trapezoid, wrapped
from parsimony.core.errors import DataError, InputError, MeterError

RANGE = 262143328850  # microjoules, as Intel packages report


def clock(monkeypatch: pytest.MonkeyPatch, meter: energy.EnergyMeter, *times: float) -> None:
    """Let the meter's clock read ``times``, one after the other, and then stay."""
    left = [*times]
    monkeypatch.setattr(meter, "clock", lambda: left.pop(0) if len(left) > 1 else left[0])


def zone(powercap: Path, name: str, energy: int, kind: str = "") -> Path:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    if kind:
        (folder / "name").write_text(f"{kind}\n")
    return folder


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rapl:
    """A meter of the zones in ``tmp_path`` whose windows last ten seconds."""
    meter = Rapl(powercap=tmp_path)
    clock(monkeypatch, meter, 0.0, 10.0)
    return meter


def test_the_counter_wraps_around(tmp_path: Path, rapl: Rapl) -> None:
    zone(tmp_path, "intel-rapl:0", 262143000000)
    rapl.start()
    zone(tmp_path, "intel-rapl:0", 1000000)
    reading = rapl.stop()
    assert reading.joules == pytest.approx(1.328850, rel=1e-12)
    assert (reading.quality, reading.source) == ("measured", "RAPL packages")
    assert reading.figure().value == pytest.approx(1.328850 / 3600, rel=1e-12)
    assert reading.figure().note == "RAPL packages, idle included"


def test_a_counter_that_wraps_twice_is_read_in_between(tmp_path: Path, rapl: Rapl) -> None:
    zone(tmp_path, "intel-rapl:0", 0)
    rapl.start()
    for value in (200_000_000_000, 100_000_000_000, 50_000_000_000):
        zone(tmp_path, "intel-rapl:0", value)
        rapl._add()  # what the thread does once a minute
    assert rapl.stop().joules == pytest.approx((2 * RANGE + 50_000_000_000) / 1e6)


def test_packages_and_memory_are_summed_and_other_parts_are_not(tmp_path: Path, rapl: Rapl) -> None:
    def write(package: int, second: int, core: int, memory: int) -> None:
        zone(tmp_path, "intel-rapl:0", package)
        zone(tmp_path, "intel-rapl:1", second)
        zone(tmp_path, "intel-rapl:0:0", core, "core")
        zone(tmp_path, "intel-rapl:0:1", memory, "dram")

    write(5, 5, 5, 5)
    rapl.start()
    write(2_000_005, 1_000_005, 900_005, 500_005)
    reading = rapl.stop()
    assert reading.joules == pytest.approx(3.5, rel=1e-12)
    assert reading.source == "RAPL packages and memory"


def test_no_counter_says_so(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=r"^this machine exposes no RAPL energy counter"):
        Rapl(powercap=tmp_path).start()


def test_a_meter_not_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="must be started before it is stopped, but got 'rapl'"):
        Rapl(powercap=tmp_path).stop()


def test_a_zone_that_vanishes_rejects_the_reading(tmp_path: Path, rapl: Rapl) -> None:
    zone(tmp_path, "intel-rapl:0", 1)
    folder = zone(tmp_path, "intel-rapl:1", 1)
    rapl.start()
    (folder / "energy_uj").unlink()
    reading = rapl.stop()
    assert (reading.joules, reading.quality, reading.seconds) == (None, "none", 10.0)
    assert reading.reason == "a RAPL zone appeared or vanished between two reads"
    assert reading.figure().note == reading.reason
    assert reading.watts is None


def test_a_counter_for_root_only_says_so(tmp_path: Path, monkeypatch) -> None:
    zone(tmp_path, "intel-rapl:0", 1)

    def refuse(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MeterError, match="intel-rapl:0/energy_uj is readable by root only"):
        Rapl(powercap=tmp_path).check()


def test_a_counter_that_is_not_a_number_says_so(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").write_text("busy\n")
    with pytest.raises(MeterError, match=r"could not be read: .*busy"):
        Rapl(powercap=tmp_path).check()


@given(st.integers(2, 2**40), st.data())
def test_a_wrapped_difference_is_the_one_modulo_the_range(span: int, data) -> None:
    before, drawn = data.draw(st.tuples(st.integers(0, span - 1), st.integers(0, span - 1)))
    assert wrapped(before, (before + drawn) % span, span) == drawn


class FakeNvml(types.ModuleType):
    """One GPU; ``millijoules`` and ``milliwatts`` are what it reads next."""

    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.millijoules = 0
        self.milliwatts = 0
        self.refuse = ""

    def nvmlInit(self) -> None:
        if self.refuse:
            raise self.NVMLError(self.refuse)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        return self.millijoules

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self.milliwatts

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return 1980

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return 41

    def nvmlDeviceGetPowerManagementLimit(self, handle: int) -> int:
        return 700_000

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(total=1000)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[types.SimpleNamespace]:
        import os

        mine = types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=500)
        return [mine, types.SimpleNamespace(pid=4, usedGpuMemory=250)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    module = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_the_gpu_counter_is_in_millijoules(fake: FakeNvml, monkeypatch) -> None:
    meter = NvmlCounter("cuda")
    clock(monkeypatch, meter, 0.0, 10.0)
    fake.millijoules = 7_200_000
    meter.start()
    fake.millijoules = 10_800_000
    reading = meter.stop()
    assert reading == Reading(3600.0, 10.0, "NVML energy counter", "measured")
    assert reading.watts == 360.0
    assert reading.figure().value == pytest.approx(1.0)


def test_a_window_of_few_ticks_is_rejected(fake: FakeNvml, monkeypatch) -> None:
    meter = NvmlCounter("cuda")
    clock(monkeypatch, meter, 0.0, 1.2)
    meter.start()
    fake.millijoules = 100
    reading = meter.stop()
    assert (reading.quality, reading.seconds) == ("none", 1.2)
    assert reading.reason == (
        "a window of this meter must last 5 s (100 ticks, or 5 s), but lasted 1.2 s. "
        "Repeat the work inside the window"
    )


def test_a_counter_that_runs_backwards_is_rejected(fake: FakeNvml, monkeypatch) -> None:
    meter = NvmlCounter("cuda")
    clock(monkeypatch, meter, 0.0, 10.0)
    fake.millijoules = 1000
    meter.start()
    fake.millijoules = 0
    assert meter.stop().reason == "energy must be finite and not negative, but got -1.0"


def test_power_is_sampled_and_integrated(fake: FakeNvml, monkeypatch) -> None:
    meter = NvmlPower("cuda")
    now = [0.0]
    monkeypatch.setattr(meter, "clock", lambda: now[0])
    monkeypatch.setattr(Polling, "start", lambda self: self._read())  # no thread, no timer
    monkeypatch.setattr(Polling, "stop", lambda self: None)
    fake.milliwatts = 100_000
    meter.start()
    for step in range(1, 201):  # 100 W for 10 s, then linear to 200 W
        now[0] = step / 10
        fake.milliwatts = 100_000 + max(0, step - 100) * 1000
        meter._sample()
    reading = meter.stop()
    assert reading.joules == pytest.approx(2500, rel=1e-12)
    assert (reading.quality, reading.source) == ("sampled", "NVML power")


def test_no_driver_says_so(fake: FakeNvml) -> None:
    fake.refuse = "Driver Not Loaded"
    with pytest.raises(MeterError, match=r"^NVML does not answer: Driver Not Loaded$"):
        NvmlCounter("cuda").start()


def test_no_package_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match=r"^nvidia-ml-py is not installed$"):
        NvmlPower("cuda").check()


@pytest.mark.parametrize(
    ("visible", "device", "handle"),
    [("", "cuda:1", 1), ("3,2", "cuda:1", 2), ("GPU-a", "cuda", "GPU-a"), ("5", "cuda:0", 5)],
)
def test_the_gpu_is_the_one_that_cuda_sees(
    fake: FakeNvml, monkeypatch, visible: str, device: str, handle: int | str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with nvml.gpu(device) as (_, found):
        assert found == handle


def test_conditions_and_strangers_of_a_gpu(fake: FakeNvml) -> None:
    assert nvml.conditions("cuda") == {"clock_mhz": 1980, "celsius": 41, "cap_watts": 700}
    assert nvml.strangers("cuda") == {4: 0.25}


def test_polling_reads_first_and_last_and_hands_on_an_error() -> None:
    import threading

    read: list[int] = []
    polling = Polling(lambda: read.append(1), 3600)
    polling.start()
    polling.stop()
    assert len(read) == 2

    failed = threading.Event()

    def fail_later() -> None:
        read.append(2)
        if read.count(2) == 2:
            failed.set()
            raise MeterError("gone")

    polling = Polling(fail_later, 1e-3)
    polling.start()
    assert failed.wait(60)
    with pytest.raises(MeterError, match="gone"):
        polling.stop()


def log(file: Path, times: np.ndarray, watts: np.ndarray) -> Path:
    rows = [f"{t},{w}" for t, w in zip(times, watts, strict=True)]
    file.write_text("time,watts\n" + "\n".join(rows) + "\n")
    return file


def test_a_wall_meters_log_is_integrated_over_the_window(tmp_path: Path, monkeypatch) -> None:
    times = np.arange(0.0, 31.0)
    file = log(tmp_path / "wall.csv", times, 100 + 10 * np.clip(times - 10, 0, 10))
    with file.open("a") as stream:
        stream.write("31.0,2")  # a line that is being written is not read
    meter = PowerFile(file=file)
    clock(monkeypatch, meter, 0.5, 20.5)
    meter.start()
    reading = meter.stop()
    assert reading.joules == pytest.approx(9.5 * 100 + 10 * 150 + 0.5 * 200, rel=1e-12)
    assert reading.quality == "measured"


def test_a_window_of_few_lines_of_the_log_is_rejected(tmp_path: Path, monkeypatch) -> None:
    times = np.arange(0.0, 31.0, 0.02)
    meter = PowerFile(file=log(tmp_path / "wall.csv", times, np.full_like(times, 100)))
    assert meter.window == pytest.approx(2)
    clock(monkeypatch, meter, 10.0, 11.0)
    meter.start()
    assert "must last 2 s (100 ticks, or 5 s), but lasted 1 s" in meter.stop().reason


def test_a_log_may_give_iso_times(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "wall.csv"
    file.write_text("time,watts\n1970-01-01T00:00:00Z,50\n1970-01-01T00:00:10Z,70\n")
    meter = PowerFile(file=file)
    clock(monkeypatch, meter, 0.0, 10.0)
    meter.start()
    assert meter.stop().joules == pytest.approx(600)


def test_a_bad_log_says_where(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="needs its log, a CSV of time and watts, but got None"):
        PowerFile().check()
    file = tmp_path / "wall.csv"
    file.write_text("time,watts\n0,50\nnoon,70\n")
    with pytest.raises(DataError, match=r"wall\.csv, row 2, column 'time': .* but got 'noon'"):
        PowerFile(file=file).check()
    file.write_text("time,power\n0,50\n1,50\n")
    with pytest.raises(DataError, match=r"row 1, column 'watts'"):
        PowerFile(file=file).check()


def test_power_constant_then_linear() -> None:
    assert trapezoid([0, 10, 20], [100, 100, 200], 0, 20) == pytest.approx(2500, rel=1e-12)


@pytest.mark.parametrize(("rate", "error"), [(10, 0.01), (100, 0.001)])
def test_samples_with_jitter_find_a_known_energy(rate: int, error: float) -> None:
    """P(t) = 200 + 80 sin(t), whose integral is known."""
    random = np.random.default_rng(0)
    times = (np.arange(60 * rate + 1) + random.uniform(-0.3, 0.3, 60 * rate + 1)) / rate
    times[0], times[-1] = 0.0, 60.0
    found = trapezoid(times, 200 + 80 * np.sin(times), 0, 60, 1 / rate)
    assert found == pytest.approx(200 * 60 + 80 * (1 - np.cos(60)), rel=error)


@pytest.mark.parametrize(
    ("times", "watts", "message"),
    [
        ([0], [1], "power needs two samples or more, in ascending time"),
        ([0, 0], [1, 1], "in ascending time"),
        ([0, 10], [1, -1], "power must be finite and not negative, but got -1"),
        ([0, 1, 2], [1, 1, 1], "the samples must cover the window: they begin"),
        ([0, 1, 2, 3, 9, 10], [1] * 6, "at most 20% of the samples may be missing, but got '4 of"),
    ],
)
def test_samples_that_cannot_be_trusted(times: list, watts: list, message: str) -> None:
    with pytest.raises(MeterError, match=message):
        trapezoid(times, watts, 0, 10)


def test_the_most_trusted_meter_that_works_is_chosen(fake: FakeNvml, monkeypatch) -> None:
    assert energy.best("cuda").name == "nvml-counter"

    def refuse(handle: int) -> int:
        raise fake.NVMLError("Not Supported")

    monkeypatch.setattr(fake, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    assert energy.best("cuda").name == "nvml-power"
    fake.refuse = "Driver Not Loaded"
    with pytest.raises(MeterError) as raised:
        energy.best("cuda")
    assert str(raised.value) == (
        "no energy meter can be read (nvml-counter: NVML does not answer: Driver Not Loaded; "
        "nvml-power: NVML does not answer: Driver Not Loaded). "
        "Ask for an estimate to get one, labelled so"
    )


def test_an_unknown_meter_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown meter 'rapI'\. Did you mean 'rapl'\?"):
        energy.find("rapI")


def test_idle_power_is_beside_the_gross_figure(tmp_path: Path, monkeypatch) -> None:
    meter = Rapl(powercap=tmp_path)
    clock(monkeypatch, meter, 0.0, 10.0, 10.0, 20.0)
    zone(tmp_path, "intel-rapl:0", 0)
    watts = energy.idle_watts(meter, sleep=lambda _: zone(tmp_path, "intel-rapl:0", 200_000_000))
    assert watts == pytest.approx(20)
    meter.start()
    zone(tmp_path, "intel-rapl:0", 700_000_000)
    reading = meter.stop().beside(watts)
    assert (reading.joules, reading.net_joules) == (pytest.approx(500), pytest.approx(300))
    assert meter.source == "RAPL packages"


def test_idle_power_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch) -> None:
    meter = Rapl(powercap=tmp_path)
    clock(monkeypatch, meter, 0.0, 0.01)
    zone(tmp_path, "intel-rapl:0", 0)
    with pytest.raises(MeterError, match="idle power could not be read: a window of this meter"):
        energy.idle_watts(meter, sleep=lambda _: None)


def test_codecarbon_estimates_and_says_what_it_assumed(monkeypatch) -> None:
    pytest.importorskip("codecarbon")
    from parsimony.core.energy.meters.codecarbon import CodeCarbon

    meter = CodeCarbon()
    clock(monkeypatch, meter, 0.0, 10.0, 10.0, 20.0)
    energy.idle_watts(meter, sleep=lambda _: None)
    meter.start()
    reading = meter.stop()
    assert reading.quality == "estimated"
    assert reading.joules is not None and reading.joules > 0
    assert reading.source.startswith("CodeCarbon's model (CPU ")
    assert reading.figure().provenance == "estimated"
