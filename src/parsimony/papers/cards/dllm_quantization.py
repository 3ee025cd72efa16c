"""Quantization Meets dLLMs: A Systematic Study of Post-training Quantization for Diffusion LLMs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    from torch import Tensor

CARD = {
    "slug": "dllm-quantization",
    "title": (
        "Quantization Meets dLLMs: A Systematic Study of Post-training Quantization for "
        "Diffusion LLMs"
    ),
    "authors": None,
    "year": 2025,
    "arxiv": "2508.14896",
    "venue": "technical report",
    "areas": ("compress", "models"),
    "mechanism": "compress/quantize, models/masked_diffusion",
    "summary": (
        "Measures what five quantizers cost a diffusion language model at each bit width, and "
        "shows the outliers behind the losses."
    ),
    "official_code": ("FelixMessi/QDLM",),
    "licence": "MIT",
}

META = "the architecture on the meta device"
SEEDS = (0, 1, 2)
STEPS = 500
"""Of a training; a tiny model of bytes, see ``papers.byte_diffusion``."""
SAMPLES = 128


@functools.cache
def _llada() -> tuple[int, int]:
    """All parameters, and those of the linear layers in blocks."""
    from parsimony.core import cost
    from parsimony.core.prunable import block_linears
    from parsimony.models.masked_diffusion import MaskedDiffusionConfig, MaskedDiffusionLM

    config = MaskedDiffusionConfig(
        vocab_size=126464, hidden_size=4096, intermediate_size=12288, num_hidden_layers=32,
        num_attention_heads=32, mask_token_id=126336, eos_token_id=126081,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = cost.on_meta(lambda: MaskedDiffusionLM(config))
    linears: Any = block_linears(model)
    return cost.count(model)[0], sum(layer.weight.numel() for layer in linears.values())


@claim(
    name="llada-parameters",
    statement="Parameters of LLaDA-8B.",
    published=8015581184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llada_parameters() -> Measurement:
    return Measurement(_llada()[0], note=META)


@claim(
    name="llada-linears",
    statement="Parameters of LLaDA-8B that are quantized.",
    published=6979321856,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llada_linears() -> Measurement:
    return Measurement(_llada()[1], note=f"linear layers of the blocks, {META}")


@claim(
    name="dream-parameters",
    statement="Parameters of Dream-7B, which has the shape of Qwen2.5-7B.",
    published=7615616512,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def dream_parameters() -> Measurement:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from parsimony.core import cost

    config = Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4, tie_word_embeddings=False,
    )  # fmt: skip
    return Measurement(cost.count(cost.on_meta(lambda: Qwen2ForCausalLM(config)))[0], note=META)


@claim(
    name="bits-per-weight",
    statement="Stored bits of a weight on an asymmetric 4-bit grid in groups of 128.",
    published=4.15625,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
)
def bits_per_weight() -> Measurement:
    from parsimony.compress.grid import Grid

    bits = Grid(4, 128, symmetric=False).bits_per_weight(4096)
    return Measurement(bits, note="a scale of 16 bits and a zero point of 4 per group")


@claim(
    name="transfer-schedule",
    statement="How many of 10 masked tokens each of 4 steps writes.",
    published=None,
    published_text="3, 3, 2, 2",
    source="official code",
    unit="tokens in the first step",
    direction="equal",
    level="exact",
)
def transfer_schedule() -> Measurement:
    from parsimony.models.masked_diffusion.sampling import transfer_schedule as schedule

    found = schedule(10, 4)
    return Measurement(found[0], note=", ".join(map(str, found)), holds=found == [3, 3, 2, 2])


@claim(
    name="published-generation-settings",
    statement="The generation settings of the four generative tasks that can be carried out.",
    published=4,
    source="paper",
    unit="tasks",
    direction="equal",
    level="exact",
)
def published_generation_settings() -> Measurement:
    from parsimony.models.masked_diffusion import Sampling

    settings = [(256, 32, 256), (256, 64, 256), (512, 32, 512), (512, 32, 512)]
    blocks = [Sampling(length, block, steps).blocks for length, block, steps in settings]
    return Measurement(len(blocks), note=f"GSM8K, Math, HumanEval, MBPP: {blocks} blocks each")


@functools.cache
def _trained(seed: int) -> Any:
    from parsimony.papers import byte_diffusion

    model = byte_diffusion.network(seed)
    byte_diffusion.train_text(model, byte_diffusion.settings(STEPS, seed))
    return model.eval()


def _windows(seed: int, masked: bool) -> Tensor:
    """Calibration texts of the training files, as they are or as the model sees them."""
    import torch

    from parsimony.papers import byte_models

    texts = byte_models.windows("train", "ascii")
    drawn = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed))[:SAMPLES]
    clean = texts[drawn].long()
    found: Tensor = _trained(seed).noised(clean, seed) if masked else clean
    return found


@functools.cache
def _lost(seed: int, spec: str, masked: bool = True) -> float:
    """Rise of the bound on held-out files, nats per byte; the same masks before and after."""
    import copy

    from parsimony.compress.quantizing import quantize
    from parsimony.papers import byte_diffusion

    model = copy.deepcopy(_trained(seed))
    before = byte_diffusion.validation(model)
    quantize(model, spec, _windows(seed, masked), seed=seed)
    return byte_diffusion.validation(model) - before


def _smaller(first: list[float], second: list[float], note: str) -> Measurement:
    """Mean of ``second - first`` over seeds; the claim holds where its interval is above 0."""
    from parsimony.papers.byte_models import mean_of_seeds

    mean, interval = mean_of_seeds([b - a for a, b in zip(first, second, strict=True)])
    return Measurement(mean, interval, f"{len(first)} seeds, {note}", holds=interval[0] > 0)


@claim(
    name="gptq-beats-rounding",
    statement="At 2 bits GPTQ raises the bound less than rounding to the nearest does.",
    published=None,
    published_text="less",
    source="derived",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def gptq_beats_rounding() -> Measurement:
    gptq = [_lost(seed, "gptq:w2g32-asym") for seed in SEEDS]
    rounded = [_lost(seed, "rtn:w2g32-asym") for seed in SEEDS]
    return _smaller(gptq, rounded, f"rises {_said(gptq)} against {_said(rounded)}")


@claim(
    name="masked-calibration",
    statement="At 2 bits GPTQ raises the bound less when it is calibrated on masked texts.",
    published=None,
    published_text="less",
    source="derived",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def masked_calibration() -> Measurement:
    masked = [_lost(seed, "gptq:w2g32-asym") for seed in SEEDS]
    clean = [_lost(seed, "gptq:w2g32-asym", masked=False) for seed in SEEDS]
    return _smaller(masked, clean, f"rises {_said(masked)} against {_said(clean)} on clean texts")


@claim(
    name="four-bit-weights-are-nearly-free",
    statement="GPTQ to 4 bits in groups of 32 raises the bound by less than 1 %.",
    published=1,
    source="paper",
    unit="per cent",
    direction="at most",
    level="cpu",
)
def four_bit_weights() -> Measurement:
    from parsimony.papers import byte_diffusion
    from parsimony.papers.byte_models import mean_of_seeds

    mean, interval = mean_of_seeds(
        [
            100 * _lost(seed, "gptq:w4g32-asym") / byte_diffusion.validation(_trained(seed))
            for seed in SEEDS
        ]
    )
    return Measurement(mean, interval, f"{len(SEEDS)} seeds; the paper's label 'negligible'")


def _said(values: list[float]) -> str:
    return ", ".join(f"{value:+.4f}" for value in values)
