# Long because every figure of the published tables is a claim of its own.
"""A-SDM: Accelerating Stable Diffusion through Model Assembly and Feature Inheritance
Strategies.

The claims are of model assembly. Feature inheritance and switching between UNets are not yet here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    from parsimony.core.unets import Counted

CARD = {
    "slug": "a-sdm",
    "title": (
        "A-SDM: Accelerating Stable Diffusion through Model Assembly and Feature Inheritance "
        "Strategies"
    ),
    "authors": None,
    "year": 2024,
    "arxiv": "2406.00210",
    "venue": "IEEE TNNLS, 2025",
    "areas": ("compress", "infer"),
    "mechanism": "compress/assembly, infer/feature_inheritance",
    "summary": (
        "Speeds up an image generator by rebuilding its network from lighter pieces or by "
        "reusing features of earlier steps."
    ),
    "official_code": (),
    "licence": None,
}

# (light blocks, removed blocks) of each network; Base, Small and Tiny are BK-SDM's.
PLANS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sd": ((), ()),
    "base": (("D0", "D1", "D2", "D3"), ()),
    "small": (("D0", "D1", "D2", "D3"), ("M",)),
    "tiny": (("D0", "D1", "D2"), ("M", "D3")),
    "shallow": (("D0", "D1"), ()),
    "no-middle": ((), ("M",)),
}


@functools.cache
def _counted(name: str) -> Counted:
    """A network assembled from SD 1.5's, one latent of 64 x 64, 77 tokens."""
    diffusers = require("diffusers", "diffusion")
    from parsimony.compress.assembly import Plan, assemble
    from parsimony.core.cost import on_meta
    from parsimony.core.unets import Counted

    def build() -> Any:
        return diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768)

    return Counted(assemble(on_meta(build), Plan(*PLANS[name])))


def _parameters(name: str, *paths: str) -> Measurement:
    cost = _counted(name).of(*paths)
    return Measurement(cost.parameters, note="assembled on the meta device")


def _macs(name: str, *paths: str) -> Measurement:
    cost = _counted(name).of(*paths)
    return Measurement(cost.macs / 1e9, note="FlopCounterMode / 2, products of attention included")


def _conv_linear(name: str) -> Measurement:
    cost = _counted(name).of()
    return Measurement(cost.conv_linear_macs / 1e9, note="convolutions and linear layers alone")


def _gap(worse: str, better: str) -> Measurement:
    """Held-out error of an arm minus that of another, over seeds and rows."""
    from parsimony.core.trials import paired
    from parsimony.papers.digit_unets import assembled, held_out, teacher

    errors = assembled()
    gap = paired(errors[worse], errors[better])
    arms = ", ".join(f"{arm} {found.mean():.4f}" for arm, found in errors.items())
    return Measurement(
        gap.estimate,
        (gap.low, gap.high),
        f"held-out error {arms}, the teacher {held_out(teacher()).mean():.4f}; digits of 16 x 16, "
        "60 steps on each piece and 60 joint against 120 of 16 images, 3 seeds, paired; the rate "
        "of all was 1e-3, not searched",
        holds=gap.low > 0,
    )


@claim(
    name="sd-parameters",
    statement="Parameters of Stable Diffusion 1.5's UNet.",
    published=859_520_964,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sd_parameters() -> Measurement:
    return _parameters("sd")


@claim(
    name="sd-macs",
    statement="Cost of a step of Stable Diffusion 1.5's UNet.",
    published=401.637,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def sd_macs() -> Measurement:
    return _macs("sd")


@claim(
    name="sd-conv-linear",
    statement="Cost of a step of Stable Diffusion 1.5's UNet, without attention's products.",
    published=338.611,
    published_text="recalled as 339 G",
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def sd_conv_linear() -> Measurement:
    return _conv_linear("sd")


@claim(
    name="base-parameters",
    statement="Parameters of its UNet with light blocks throughout (BK-SDM-Base).",
    published=579_384_964,
    published_text="printed as 0.58 B",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def base_parameters() -> Measurement:
    return _parameters("base")


@claim(
    name="base-macs",
    statement="Cost of a step of its UNet with light blocks throughout (BK-SDM-Base).",
    published=261.497,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def base_macs() -> Measurement:
    return _macs("base")


@claim(
    name="base-conv-linear",
    statement="Cost of a step of BK-SDM-Base, without attention's products.",
    published=223.672,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def base_conv_linear() -> Measurement:
    return _conv_linear("base")


@claim(
    name="small-parameters",
    statement="Parameters of the same without a middle (BK-SDM-Small).",
    published=482_346_884,
    published_text="printed as 0.49 B",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def small_parameters() -> Measurement:
    return _parameters("small")


@claim(
    name="small-macs",
    statement="Cost of a step of the same without a middle (BK-SDM-Small).",
    published=255.447,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def small_macs() -> Measurement:
    return _macs("small")


@claim(
    name="small-conv-linear",
    statement="Cost of a step of BK-SDM-Small, without attention's products.",
    published=217.645,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def small_conv_linear() -> Measurement:
    return _conv_linear("small")


@claim(
    name="tiny-parameters",
    statement="Parameters of the same of three levels (BK-SDM-Tiny).",
    published=323_384_964,
    published_text="printed as 0.33 B",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def tiny_parameters() -> Measurement:
    return _parameters("tiny")


@claim(
    name="tiny-macs",
    statement="Cost of a step of the same of three levels (BK-SDM-Tiny).",
    published=242.755,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def tiny_macs() -> Measurement:
    return _macs("tiny")


@claim(
    name="tiny-conv-linear",
    statement="Cost of a step of BK-SDM-Tiny, without attention's products.",
    published=204.953,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def tiny_conv_linear() -> Measurement:
    return _conv_linear("tiny")


@claim(
    name="shallow-parameters",
    statement="Parameters of its UNet with light blocks on the two outer levels.",
    published=809_513_604,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def shallow_parameters() -> Measurement:
    return _parameters("shallow")


@claim(
    name="shallow-macs",
    statement="Cost of a step of its UNet with light blocks on the two outer levels.",
    published=303.662,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def shallow_macs() -> Measurement:
    return _macs("shallow")


@claim(
    name="shallow-conv-linear",
    statement="Cost of a step of its UNet with two light levels, without attention's products.",
    published=265.400,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def shallow_conv_linear() -> Measurement:
    return _conv_linear("shallow")


@claim(
    name="no-middle-parameters",
    statement="Parameters of its UNet without a middle alone.",
    published=762_482_884,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def no_middle_parameters() -> Measurement:
    return _parameters("no-middle")


@claim(
    name="no-middle-macs",
    statement="Cost of a step of its UNet without a middle alone.",
    published=395.587,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def no_middle_macs() -> Measurement:
    return _macs("no-middle")


@claim(
    name="no-middle-conv-linear",
    statement="Cost of a step of its UNet without a middle, without attention's products.",
    published=332.584,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def no_middle_conv_linear() -> Measurement:
    return _conv_linear("no-middle")


@claim(
    name="d0-parameters",
    statement="Parameters of block D0 of Stable Diffusion 1.5's UNet.",
    published=10_524_480,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def d0_parameters() -> Measurement:
    return _parameters("sd", "down_blocks.0")


@claim(
    name="d0-macs",
    statement="Cost of block D0 in a step of Stable Diffusion 1.5's UNet.",
    published=54.775,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def d0_macs() -> Measurement:
    return _macs("sd", "down_blocks.0")


@claim(
    name="d1-parameters",
    statement="Parameters of block D1 of Stable Diffusion 1.5's UNet.",
    published=36_818_560,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def d1_parameters() -> Measurement:
    return _parameters("sd", "down_blocks.1")


@claim(
    name="d1-macs",
    statement="Cost of block D1 in a step of Stable Diffusion 1.5's UNet.",
    published=34.182,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def d1_macs() -> Measurement:
    return _macs("sd", "down_blocks.1")


@claim(
    name="d2-parameters",
    statement="Parameters of block D2 of Stable Diffusion 1.5's UNet.",
    published=139_992_320,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def d2_parameters() -> Measurement:
    return _parameters("sd", "down_blocks.2")


@claim(
    name="d2-macs",
    statement="Cost of block D2 in a step of Stable Diffusion 1.5's UNet.",
    published=31.885,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def d2_macs() -> Measurement:
    return _macs("sd", "down_blocks.2")


@claim(
    name="d3-parameters",
    statement="Parameters of block D3 of Stable Diffusion 1.5's UNet.",
    published=62_277_120,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def d3_parameters() -> Measurement:
    return _parameters("sd", "down_blocks.3")


@claim(
    name="d3-macs",
    statement="Cost of block D3 in a step of Stable Diffusion 1.5's UNet.",
    published=3.778,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def d3_macs() -> Measurement:
    return _macs("sd", "down_blocks.3")


@claim(
    name="m-parameters",
    statement="Parameters of block M of Stable Diffusion 1.5's UNet.",
    published=97_038_080,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def m_parameters() -> Measurement:
    return _parameters("sd", "mid_block")


@claim(
    name="m-macs",
    statement="Cost of block M in a step of Stable Diffusion 1.5's UNet.",
    published=6.050,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def m_macs() -> Measurement:
    return _macs("sd", "mid_block")


@claim(
    name="u0-parameters",
    statement="Parameters of block U0 of Stable Diffusion 1.5's UNet.",
    published=162_241_280,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def u0_parameters() -> Measurement:
    return _parameters("sd", "up_blocks.0")


@claim(
    name="u0-macs",
    statement="Cost of block U0 in a step of Stable Diffusion 1.5's UNet.",
    published=12.902,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def u0_macs() -> Measurement:
    return _macs("sd", "up_blocks.0")


@claim(
    name="u1-parameters",
    statement="Parameters of block U1 of Stable Diffusion 1.5's UNet.",
    published=258_330_880,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def u1_parameters() -> Measurement:
    return _parameters("sd", "up_blocks.1")


@claim(
    name="u1-macs",
    statement="Cost of block U1 in a step of Stable Diffusion 1.5's UNet.",
    published=75.772,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def u1_macs() -> Measurement:
    return _macs("sd", "up_blocks.1")


@claim(
    name="u2-parameters",
    statement="Parameters of block U2 of Stable Diffusion 1.5's UNet.",
    published=71_413_120,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def u2_parameters() -> Measurement:
    return _parameters("sd", "up_blocks.2")


@claim(
    name="u2-macs",
    statement="Cost of block U2 in a step of Stable Diffusion 1.5's UNet.",
    published=83.412,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def u2_macs() -> Measurement:
    return _macs("sd", "up_blocks.2")


@claim(
    name="u3-parameters",
    statement="Parameters of block U3 of Stable Diffusion 1.5's UNet.",
    published=18_810_560,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def u3_parameters() -> Measurement:
    return _parameters("sd", "up_blocks.3")


@claim(
    name="u3-macs",
    statement="Cost of block U3 in a step of Stable Diffusion 1.5's UNet.",
    published=98.783,
    source="derived",
    unit="G multiply-adds",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def u3_macs() -> Measurement:
    return _macs("sd", "up_blocks.3")


@claim(
    name="pieces-before-joint",
    statement="Distilled by pieces and then jointly, a light UNet errs less than jointly alone.",
    published=None,
    published_text="the paper distils pieces first; equal gradient steps are our comparison",
    source="derived",
    unit="mean squared error saved",
    direction="at least",
    level="cpu",
)
def pieces_before_joint() -> Measurement:
    return _gap("joint only", "pieces first")


@claim(
    name="assembled-beside-scratch",
    statement="A light UNet assembled from a teacher errs less than the same one from scratch.",
    published=None,
    published_text="a comparison of ours at equal gradient steps",
    source="derived",
    unit="mean squared error saved",
    direction="at least",
    level="cpu",
)
def assembled_beside_scratch() -> Measurement:
    return _gap("from scratch", "pieces first")
