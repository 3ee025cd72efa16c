"""Energy counters, on a made-up tree of RAPL zones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.energy import EnergyMeter, wrapped

RANGE = 262143328850  # microjoules, as Intel packages report


def zone(powercap: Path, name: str, energy: int, span: int = RANGE) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")
    return folder


def test_the_counter_wraps_around(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=tmp_path)
    zone(tmp_path, "intel-rapl:0", 262143000000)
    meter.start()
    zone(tmp_path, "intel-rapl:0", 1000000)
    figure = meter.stop()
    assert figure.value == pytest.approx(1.328850 / 3600, rel=1e-12)
    assert figure.provenance == "measured"
    assert figure.note == "RAPL packages, idle included"


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        zone(tmp_path, name, 5)
    meter.start()
    zone(tmp_path, "intel-rapl:0", 5 + 2_000_000)
    zone(tmp_path, "intel-rapl:1", 5 + 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", 5 + 900_000)
    assert meter.stop().value == pytest.approx(3 / 3600, rel=1e-12)


def test_no_counter_is_unknown_with_the_reason(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=tmp_path)
    meter.start()
    figure = meter.stop()
    assert figure.value is None
    assert figure.note == "this machine exposes no RAPL energy counter"


def test_a_meter_not_started_is_unknown(tmp_path: Path) -> None:
    assert EnergyMeter(powercap=tmp_path).stop().note == "the meter was not started"


def test_a_counter_that_vanishes_is_unknown(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=tmp_path)
    folder = zone(tmp_path, "intel-rapl:0", 1)
    meter.start()
    (folder / "energy_uj").unlink()
    assert meter.stop().note.startswith("the counter could not be read again: this machine")


def test_one_package_of_two_that_vanishes_is_unknown(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=tmp_path)
    zone(tmp_path, "intel-rapl:0", 1)
    folder = zone(tmp_path, "intel-rapl:1", 1)
    meter.start()
    (folder / "energy_uj").unlink()
    assert meter.stop().note == "a RAPL package vanished between the two reads"


def test_a_counter_for_root_only_is_unknown(tmp_path: Path, monkeypatch) -> None:
    zone(tmp_path, "intel-rapl:0", 1)

    def refuse(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "denied")

    meter = EnergyMeter(powercap=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        meter.start()
    assert meter.stop().note == "the RAPL energy counter is readable by root only"


def test_a_counter_that_is_not_a_number_is_unknown(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").write_text("busy\n")
    meter = EnergyMeter(powercap=tmp_path)
    meter.start()
    assert "busy" in meter.stop().note


def test_nvml_millijoules_become_watt_hours(monkeypatch) -> None:
    reads = iter([7_200_000, 10_800_000])
    monkeypatch.setattr("parsimony.core.energy._nvml_millijoules", lambda: next(reads))
    meter = EnergyMeter("cuda")
    meter.start()
    figure = meter.stop()
    assert figure.value == pytest.approx(1.0)
    assert figure.note == "NVML, idle included"


def test_a_machine_without_the_driver_says_so(monkeypatch) -> None:
    pynvml = pytest.importorskip("pynvml")

    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    meter = EnergyMeter("cuda")
    meter.start()
    assert meter.stop().note.startswith("NVML gives no energy counter")


@given(st.integers(2, 2**40), st.data())
def test_a_wrapped_difference_is_the_one_modulo_the_range(span: int, data) -> None:
    before, drawn = data.draw(st.tuples(st.integers(0, span - 1), st.integers(0, span - 1)))
    assert wrapped(before, (before + drawn) % span, span) == drawn
