"""Presets, files of one's own, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsimony.core.errors import InputError
from parsimony.plan.cluster import hardware

OWN = """
name: own
device: card
devices: 16
per_node: 4
memory: 24 GB
memory_bandwidth: 1 TB/s
peak_tflops: 100
efficiency: 0.5
reserve: 0.1
links:
  - {devices: 4, bandwidth: 32 GB/s, latency_us: 10}
  - {devices: 16, bandwidth: 3 GB/s, latency_us: 20}
"""


def write(folder: Path, text: str) -> str:
    file = folder / "own.yaml"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("name", hardware.presets())
def test_every_figure_of_a_preset_has_a_source(name: str) -> None:
    cluster = hardware.load(name)
    figures = set(hardware.Cluster.model_fields) - {"name", "sources"}
    assert cluster.name == name
    assert set(cluster.sources) == figures


def test_the_presets() -> None:
    assert hardware.presets() == ["dgx-h100", "frontier", "h200", "laptop"]
    frontier = hardware.load("frontier")
    assert (frontier.per_node, frontier.memory, frontier.peak_tflops) == (8, 64e9, 191.5)
    assert "GCD" in str(frontier) and "64 GB = 59.6 GiB" in str(frontier)


def test_a_group_uses_the_closest_link_that_holds_it() -> None:
    frontier = hardware.load("frontier")
    extents = [1, 2, 3, 8, 9, 10**6]
    assert (frontier.bandwidth(extents) / 1e9).tolist() == [200, 200, 50, 50, 12.5, 12.5]
    assert frontier.latency(2) == pytest.approx(1e-5)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    cluster = hardware.load(write(tmp_path, OWN))
    assert cluster.usable == pytest.approx(0.9 * 24e9)
    assert cluster.flops == 50e12
    assert cluster.part(8).devices == 8
    assert cluster.of(64).links[-1].devices == 64


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("efficiency: 0.5", "efficency: 0.5", "Did you mean 'efficiency'?"),
        (
            "{devices: 4, ",
            "{device: 4, ",
            "unknown field 'links.0.device'. Did you mean 'devices'?",
        ),
        (
            "efficiency: 0.5",
            "efficiency: 50",
            "efficiency: input should be less than or equal to 1",
        ),
        ("reserve: 0.1\n", "", "reserve: field required"),
        ("24 GB", "24", "a quantity in bytes needs a number and a unit, but got '24'"),
        ("{devices: 16,", "{devices: 8,", "the last link must connect all 16 devices, but got 8"),
        ("{devices: 4,", "{devices: 32,", "links go from small groups to large ones"),
        ("name: own", "name: [", "must be YAML"),
        (OWN, "- 1", "must hold the fields of a cluster. Known: device, devices"),
        ("name: own", "name: !!python/object/apply:os.getcwd []", "must be YAML"),
    ],
)
def test_a_wrong_file_gets_one_line(tmp_path: Path, old: str, new: str, text: str) -> None:
    assert old in OWN
    with pytest.raises(InputError) as caught:
        hardware.load(write(tmp_path, OWN.replace(old, new)))
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_cluster_and_too_many_devices() -> None:
    with pytest.raises(InputError, match=r"a preset or a YAML file.*Did you mean 'frontier'"):
        hardware.load("fronteir")
    with pytest.raises(InputError, match="h200 has 1 device, but got 2"):
        hardware.load("h200").part(2)
