"""UNets: the published counts of Stable Diffusion 1.5 part by part, names, refusals."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from parsimony.core.cost import on_meta  # noqa: E402
from parsimony.core.errors import InputError  # noqa: E402
from parsimony.core.unets import Counted, blocks, check, named, sites  # noqa: E402


def build(**changes: Any) -> Any:
    settings = {"sample_size": 64, "cross_attention_dim": 768, **changes}
    return on_meta(lambda: diffusers.UNet2DConditionModel(**settings))


@pytest.fixture(scope="module")
def sd() -> Any:
    return build()


@pytest.fixture(scope="module")
def counted(sd: Any) -> Counted:
    return Counted(sd)


def test_the_whole_network_costs_what_is_published(counted: Counted) -> None:
    cost = counted.of()
    assert cost.parameters == 859_520_964
    assert round(cost.macs / 1e9, 3) == 401.637
    assert round(cost.conv_linear_macs / 1e9, 3) == 338.611


@pytest.mark.parametrize(
    ("site", "parameters", "macs"),
    [
        ("D0", 10_524_480, 54.775),
        ("D1", 36_818_560, 34.182),
        ("D2", 139_992_320, 31.885),
        ("D3", 62_277_120, 3.778),
        ("M", 97_038_080, 6.050),
        ("U0", 162_241_280, 12.902),
        ("U1", 258_330_880, 75.772),
        ("U2", 71_413_120, 83.412),
        ("U3", 18_810_560, 98.783),
    ],
)
def test_a_block_costs_what_is_published(
    sd: Any, counted: Counted, site: str, parameters: int, macs: float
) -> None:
    cost = counted.of(*sites(sd)[site])
    assert cost.parameters == parameters
    assert round(cost.macs / 1e9, 3) == macs


@pytest.mark.parametrize(
    ("path", "parameters", "macs"),
    [
        ("conv_in", 11_840, 0.047),
        ("conv_out", 11_524, 0.047),
        ("time_embedding", 2_050_560, 0.002),
    ],
)
def test_the_rest_costs_what_is_published(
    counted: Counted, path: str, parameters: int, macs: float
) -> None:
    cost = counted.of(path)
    assert cost.parameters == parameters
    assert round(cost.macs / 1e9, 3) == macs


@pytest.mark.parametrize(
    ("kinds", "count", "parameters", "macs"),
    [
        (("R",), 22, 537_670_400, 172.307),
        (("T",), 16, 267_239_360, 192.428),
        (("SA",), 16, 49_574_080, 86.833),
        (("CA",), 16, 43_962_560, 16.047),
        (("FF",), 16, 148_797_120, 76.756),
        (("down", "up"), 6, 52_536_640, 36.805),
    ],
)
def test_units_of_a_kind_cost_what_is_published(
    sd: Any, counted: Counted, kinds: tuple[str, ...], count: int, parameters: int, macs: float
) -> None:
    chosen = [paths for name, paths in sites(sd).items() if name.rpartition(".")[2] in kinds]
    cost = counted.of(*(path for paths in chosen for path in paths))
    assert (len(chosen), cost.parameters) == (count, parameters)
    assert round(cost.macs / 1e9, 3) == macs


def test_blocks_run_in_the_order_of_their_names(sd: Any) -> None:
    assert " ".join(blocks(sd)) == "D0 D1 D2 D3 M U0 U1 U2 U3"
    assert "M" not in blocks(build(mid_block_type=None))
    assert sites(sd)["D1.0.T"] == ("down_blocks.1.attentions.0",)
    assert sites(sd)["U1.up"] == ("up_blocks.1.upsamplers.0",)


def test_an_unknown_name_is_answered_with_the_nearest(sd: Any) -> None:
    with pytest.raises(InputError, match=r"no such part, but got 'd1'. Did you mean 'D1'\?"):
        named(["d1"], blocks(sd))


def test_sdxl_is_refused_with_what_is_supported() -> None:
    sdxl = build(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=64,
    )
    with pytest.raises(InputError, match=r"as SDXL has.*Supported: a UNet2DConditionModel of"):
        check(sdxl)


def test_a_diffusion_transformer_is_refused_with_what_is_supported() -> None:
    transformer = on_meta(
        lambda: diffusers.DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, num_layers=1, sample_size=8
        )
    )
    with pytest.raises(InputError, match=r"got 'DiTTransformer2DModel'. Supported: a UNet2DCond"):
        check(transformer)


def test_another_kind_of_block_is_refused() -> None:
    unet = build(
        block_out_channels=(32, 64),
        down_block_types=("AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D"),
        attention_head_dim=8,
    )
    with pytest.raises(InputError, match=r"unknown kind of block, but got 'AttnDownBlock2D'"):
        check(unet)


def test_only_a_network_without_memory_is_counted() -> None:
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8,), down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",), norm_num_groups=4, cross_attention_dim=8,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"on the meta device, but got 'cpu'. Build it with"):
        Counted(unet)
