"""DiffuseKronA: A Parameter Efficient Fine-tuning Method for Personalized Diffusion Model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build, count

if TYPE_CHECKING:
    from torch import nn

CARD = {
    "slug": "diffusekrona",
    "title": (
        "DiffuseKronA: A Parameter Efficient Fine-tuning Method for Personalized Diffusion Model"
    ),
    "authors": ("S. Marjit", "H. Singh", "N. Mathur", "S. Paul", "C.-M. Yu", "P.-Y. Chen"),
    "year": 2024,
    "arxiv": "2402.17412",
    "venue": "WACV 2025, pages 3529-3538",
    "areas": ("adapt",),
    "mechanism": "adapt/krona",
    "summary": (
        "Personalises an image generator from a few pictures with Kronecker-product updates "
        "that store fewer values than small LoRA."
    ),
    "official_code": ("IBM/DiffuseKronA",),
    "licence": None,
}

SDXL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SD = {"cross_attention_dim": 768}
CLIP_L = {
    "config": "CLIPTextConfig",
    "model": "CLIPTextModel",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]


def _unet(settings: dict[str, object]) -> nn.Module:
    torch, diffusers = require("torch", "adapt"), require("diffusers", "diffusion")
    with torch.device("meta"):
        built: nn.Module = diffusers.UNet2DConditionModel(**settings)
    return built


def _krona(model: nn.Module, a1: int = 4, a2: int = 64, text: bool = False) -> Measurement:
    """Trainable under KronA on the attention maps."""
    from parsimony.adapt.methods.krona import ATTENTION, KronaConfig

    return adapted(model, KronaConfig, a1=a1, a2=a2, target_modules=TEXT if text else ATTENTION)


def _lora(model: nn.Module, text: bool = False) -> Measurement:
    """Trainable under LoRA of rank 4 on the same maps."""
    from parsimony.adapt.methods.krona import ATTENTION

    return adapted(model, "LoraConfig", r=4, target_modules=TEXT if text else ATTENTION)


def _map() -> nn.Module:
    torch = require("torch", "adapt")
    return torch.nn.ModuleDict({"to_q": torch.nn.Linear(1280, 1280, device="meta")})


def _mebibytes(counted: Measurement) -> Measurement:
    note = "values in fp32; the printed file also holds the names of its tensors"
    return Measurement(4 * counted.value / 2**20, note=note)


def _both(unet: Measurement, text: Measurement) -> Measurement:
    return Measurement(unet.value + text.value, note="UNet and text encoder")


@claim(
    name="sdxl-maps",
    statement="SDXL's UNet has this many query, key, value and output maps.",
    published=560,
    source="derived",
    unit="maps",
    direction="equal",
    level="exact",
)
def sdxl_maps() -> Measurement:
    from parsimony.adapt.methods.krona import ATTENTION

    ends = tuple(f".{name}" for name in ATTENTION)
    return Measurement(sum(name.endswith(ends) for name, _ in _unet(SDXL).named_modules()))


@claim(
    name="sdxl-total",
    statement="Parameters of SDXL's UNet.",
    published=2_567_463_684,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sdxl_total() -> Measurement:
    return count(_unet(SDXL), "built on the meta device")


@claim(
    name="sdxl-krona",
    statement="KronA with A of 4 x 64 on SDXL's attention maps.",
    published=3_874_560,
    published_text="printed as 3.8 M",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sdxl_krona() -> Measurement:
    return _krona(_unet(SDXL))


@claim(
    name="sdxl-lora",
    statement="LoRA of rank 4 on SDXL's attention maps.",
    published=5_806_080,
    published_text="printed as 5.8 M",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sdxl_lora() -> Measurement:
    return _lora(_unet(SDXL))


@claim(
    name="sdxl-krona-file",
    statement="The saved KronA of SDXL.",
    published=14.95,
    published_text="14.95 MB on the project page",
    source="official code",
    unit="MiB",
    direction="equal",
    level="exact",
    tolerance=0.2,
)
def sdxl_krona_file() -> Measurement:
    return _mebibytes(_krona(_unet(SDXL)))


@claim(
    name="sdxl-lora-file",
    statement="The saved LoRA of SDXL.",
    published=22.32,
    published_text="22.32 MB on the project page",
    source="official code",
    unit="MiB",
    direction="equal",
    level="exact",
    tolerance=0.2,
)
def sdxl_lora_file() -> Measurement:
    return _mebibytes(_lora(_unet(SDXL)))


@claim(
    name="sdxl-reduction",
    statement="KronA saves this share of LoRA's parameters on SDXL.",
    published=33.3,
    published_text="printed as 35 %, which the truncated 3.8 M and 5.8 M give",
    source="derived",
    unit="%",
    direction="equal",
    level="exact",
    tolerance=0.05,
)
def sdxl_reduction() -> Measurement:
    krona, lora = _krona(_unet(SDXL)).value, _lora(_unet(SDXL)).value
    return Measurement(100 * (1 - krona / lora), note="of the counts")


@claim(
    name="sdxl-script",
    statement="KronA with A of 64 x 8, the default of the released scripts, on SDXL.",
    published=2_152_320,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sdxl_script() -> Measurement:
    return _krona(_unet(SDXL), 64, 8)


@claim(
    name="sd-krona",
    statement="KronA with A of 4 x 64 on the 128 attention maps of SD 1's UNet.",
    published=398_048,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sd_krona() -> Measurement:
    return _krona(_unet(SD))


@claim(
    name="sd-lora",
    statement="LoRA of rank 4 on the 128 attention maps of SD 1's UNet.",
    published=797_184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sd_lora() -> Measurement:
    return _lora(_unet(SD))


@claim(
    name="clip-krona",
    statement=("KronA with A of 4 x 64 on the 48 attention maps of CLIP ViT-L's text encoder."),
    published=122_880,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def clip_krona() -> Measurement:
    return _krona(build(CLIP_L), text=True)


@claim(
    name="clip-lora",
    statement="LoRA of rank 4 on the 48 attention maps of CLIP ViT-L's text encoder.",
    published=294_912,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def clip_lora() -> Measurement:
    return _lora(build(CLIP_L), text=True)


@claim(
    name="sd-sum-krona",
    statement="KronA with A of 4 x 64 on SD 1's UNet and text encoder.",
    published=520_928,
    published_text="printed as 0.52 M",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sd_sum_krona() -> Measurement:
    return _both(_krona(_unet(SD)), _krona(build(CLIP_L), text=True))


@claim(
    name="sd-sum-lora",
    statement="LoRA of rank 4 on SD 1's UNet and text encoder.",
    published=1_092_096,
    published_text="printed as 1.09 M",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def sd_sum_lora() -> Measurement:
    return _both(_lora(_unet(SD)), _lora(build(CLIP_L), text=True))


@claim(
    name="less-than-dreambooth",
    statement=("KronA trains this much less of SD 1 than DreamBooth, which trains all of both."),
    published=99.947,
    source="abstract",
    unit="%",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def dreambooth() -> Measurement:
    whole = _both(count(_unet(SD), ""), count(build(CLIP_L), "")).value
    return Measurement(100 * (1 - sd_sum_krona.run().value / whole), note=f"of {whole:,.0f}")


@claim(
    name="one-map-krona",
    statement="KronA with A of 4 x 64 on one map of 1280 x 1280.",
    published=6_656,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def one_krona() -> Measurement:
    return _krona(_map())


@claim(
    name="one-map-lora",
    statement="LoRA of rank 4 on one map of 1280 x 1280.",
    published=10_240,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def one_lora() -> Measurement:
    return _lora(_map())


@claim(
    name="kept-for-backward",
    statement="KronA in its cheap order keeps hardly more for backward than LoRA does.",
    published=None,
    published_text="a figure of ours: at most a tenth more",
    source="derived",
    unit="times LoRA's bytes",
    direction="at most",
    level="exact",
)
def kept() -> Measurement:
    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    from parsimony.adapt.methods.krona import KronaConfig
    from parsimony.core.layers import saved_bytes

    found = []
    for config in (
        KronaConfig(a1=4, a2=64, target_modules=["0"]),
        peft.LoraConfig(r=4, target_modules=["0"]),
    ):
        base = torch.nn.Sequential(torch.nn.Linear(1280, 1280))
        batch = {"input": torch.randn(1024, 1280)}
        found.append(saved_bytes(peft.get_peft_model(base, config), batch))
    ratio = found[0] / found[1]
    note = f"{found[0]:,} against {found[1]:,} bytes, one map of 1280 x 1280, 1024 tokens"
    return Measurement(ratio, note=note, holds=ratio <= 1.1)


@claim(
    name="step-beside-lokr",
    statement="A step of KronA is faster than one of peft's LoKr with as many parameters.",
    published=None,
    published_text="a promise of ours: LoKr forms the dense update in every step",
    source="derived",
    unit="times KronA's",
    direction="at least",
    level="cpu",
)
def step_time() -> Measurement:
    import statistics
    import time

    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    from parsimony.adapt.methods.krona import KronaConfig

    models = []
    for config in (
        KronaConfig(a1=4, a2=64, target_modules=["0"]),
        peft.LoKrConfig(r=1280, alpha=1280, decompose_factor=16, target_modules=["0"]),
    ):
        base = torch.nn.Sequential(torch.nn.Linear(1280, 1280))
        models.append(peft.get_peft_model(base, config))
    x = torch.randn(1024, 1280, requires_grad=True)  # as inside a network
    ratios = []
    for _ in range(13):
        seconds = []
        for model in models:
            began = time.perf_counter()
            model(x).sum().backward()
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[1] / seconds[0])
    found = sorted(ratios[3:])  # the first rounds warm up
    return Measurement(
        statistics.median(found),
        interval=(found[1], found[-2]),
        note="one map of 1280 x 1280, 1024 tokens, forward and backward; 10 pairs in turn, the "
        "interval is their second least to second largest",
        holds=found[1] > 1,
    )
