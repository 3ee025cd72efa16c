# Long because every figure of the table of counts is a claim of its own.
"""PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

CARD = {
    "slug": "perp",
    "title": "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
    "authors": ("Max Zimmer", "Megi Andoni", "Christoph Spiegel", "Sebastian Pokutta"),
    "year": 2023,
    "arxiv": "2312.15230",
    "venue": None,
    "areas": ("compress",),
    "mechanism": "compress/prune, compress/retrain, compress/reconstruction",
    "summary": (
        "Recovers most of the quality lost by pruning while retraining only a tiny part of "
        "the parameters and keeping the zeros."
    ),
    "official_code": ("ZIB-IOL/PERP",),
    "licence": None,
}

SHAPES = {
    "opt-125m": (768, 12, 12, 3072),
    "opt-1.3b": (2048, 24, 32, 8192),
    "opt-2.7b": (2560, 32, 32, 10240),
    "opt-6.7b": (4096, 32, 32, 16384),
    "opt-30b": (7168, 48, 56, 28672),
    "llama-2-7b": (4096, 32, 32, 11008),
}
"""Width, blocks, heads and inner width of the MLP."""

EVERYTHING = "biases+norms+masklora+head"
COUNTED = "transformers' model of this shape on the meta device"


def _model(shape: str) -> nn.Module:
    from parsimony.papers.counting import build

    width, layers, heads, inner = SHAPES[shape]
    if shape.startswith("llama"):
        return build({
            "config": "LlamaConfig", "model": "LlamaForCausalLM", "hidden_size": width,
            "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": 32000,
            "intermediate_size": inner,
        })  # fmt: skip
    return build({
        "config": "OPTConfig", "model": "OPTForCausalLM", "hidden_size": width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "ffn_dim": inner,
        "word_embed_proj_dim": width, "vocab_size": 50272,
    })  # fmt: skip


@functools.cache
def _counts(shape: str, method: str) -> tuple[int, int]:
    """Parameters that train, and those of the model."""
    from parsimony.compress import retrainer

    return retrainer.count(_model(shape), method)


def _total(shape: str) -> Measurement:
    return Measurement(_counts(shape, "norms")[1], note=COUNTED)


def _trained(shape: str, method: str) -> Measurement:
    return Measurement(_counts(shape, method)[0], note=f"{method}, {COUNTED}")


def _prunable(shape: str) -> Measurement:
    from parsimony.core.prunable import block_linears

    layers = block_linears(_model(shape)).values()
    return Measurement(sum(layer.weight.numel() for layer in layers), note=COUNTED)


def _share(shape: str, method: str) -> Measurement:
    trained, total = _counts(shape, method)
    return Measurement(100 * trained / total, note=f"{method}: {trained:,} of {total:,}")


@claim(
    name="total-opt-125m",
    statement="Parameters of OPT-125M.",
    published=125239296,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_opt_125m() -> Measurement:
    return _total("opt-125m")


@claim(
    name="prunable-opt-125m",
    statement="Weights of the linear layers in the blocks of OPT-125M: what is pruned.",
    published=84934656,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_opt_125m() -> Measurement:
    return _prunable("opt-125m")


@claim(
    name="biases-opt-125m",
    statement="Biases of OPT-125M, those of LayerNorms included.",
    published=102144,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_opt_125m() -> Measurement:
    return _trained("opt-125m", "biases")


@claim(
    name="norms-opt-125m",
    statement="Parameters of the norms of OPT-125M.",
    published=38400,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_opt_125m() -> Measurement:
    return _trained("opt-125m", "norms")


@claim(
    name="biases-norms-opt-125m",
    statement="Biases and norms of OPT-125M together.",
    published=121344,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_norms_opt_125m() -> Measurement:
    return _trained("opt-125m", "biases+norms")


@claim(
    name="adapters-opt-125m",
    statement="Low-rank adapters of rank 16 on all linear layers of OPT-125M's blocks.",
    published=2654208,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def adapters_opt_125m() -> Measurement:
    return _trained("opt-125m", "masklora")


@claim(
    name="everything-opt-125m",
    statement="Biases, norms, adapters and the head's adapter of OPT-125M.",
    published=3592192,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def everything_opt_125m() -> Measurement:
    return _trained("opt-125m", EVERYTHING)


@claim(
    name="total-opt-1-3b",
    statement="Parameters of OPT-1.3B.",
    published=1315758080,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_opt_1_3b() -> Measurement:
    return _total("opt-1.3b")


@claim(
    name="prunable-opt-1-3b",
    statement="Weights of the linear layers in the blocks of OPT-1.3B: what is pruned.",
    published=1207959552,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_opt_1_3b() -> Measurement:
    return _prunable("opt-1.3b")


@claim(
    name="biases-opt-1-3b",
    statement="Biases of OPT-1.3B, those of LayerNorms included.",
    published=542720,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_opt_1_3b() -> Measurement:
    return _trained("opt-1.3b", "biases")


@claim(
    name="norms-opt-1-3b",
    statement="Parameters of the norms of OPT-1.3B.",
    published=200704,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_opt_1_3b() -> Measurement:
    return _trained("opt-1.3b", "norms")


@claim(
    name="biases-norms-opt-1-3b",
    statement="Biases and norms of OPT-1.3B together.",
    published=643072,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_norms_opt_1_3b() -> Measurement:
    return _trained("opt-1.3b", "biases+norms")


@claim(
    name="adapters-opt-1-3b",
    statement="Low-rank adapters of rank 16 on all linear layers of OPT-1.3B's blocks.",
    published=14155776,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def adapters_opt_1_3b() -> Measurement:
    return _trained("opt-1.3b", "masklora")


@claim(
    name="everything-opt-1-3b",
    statement="Biases, norms, adapters and the head's adapter of OPT-1.3B.",
    published=15635968,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def everything_opt_1_3b() -> Measurement:
    return _trained("opt-1.3b", EVERYTHING)


@claim(
    name="total-opt-2-7b",
    statement="Parameters of OPT-2.7B.",
    published=2651596800,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_opt_2_7b() -> Measurement:
    return _total("opt-2.7b")


@claim(
    name="prunable-opt-2-7b",
    statement="Weights of the linear layers in the blocks of OPT-2.7B: what is pruned.",
    published=2516582400,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_opt_2_7b() -> Measurement:
    return _prunable("opt-2.7b")


@claim(
    name="biases-opt-2-7b",
    statement="Biases of OPT-2.7B, those of LayerNorms included.",
    published=903680,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_opt_2_7b() -> Measurement:
    return _trained("opt-2.7b", "biases")


@claim(
    name="norms-opt-2-7b",
    statement="Parameters of the norms of OPT-2.7B.",
    published=332800,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_opt_2_7b() -> Measurement:
    return _trained("opt-2.7b", "norms")


@claim(
    name="biases-norms-opt-2-7b",
    statement="Biases and norms of OPT-2.7B together.",
    published=1070080,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_norms_opt_2_7b() -> Measurement:
    return _trained("opt-2.7b", "biases+norms")


@claim(
    name="adapters-opt-2-7b",
    statement="Low-rank adapters of rank 16 on all linear layers of OPT-2.7B's blocks.",
    published=23592960,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def adapters_opt_2_7b() -> Measurement:
    return _trained("opt-2.7b", "masklora")


@claim(
    name="everything-opt-2-7b",
    statement="Biases, norms, adapters and the head's adapter of OPT-2.7B.",
    published=25508352,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def everything_opt_2_7b() -> Measurement:
    return _trained("opt-2.7b", EVERYTHING)


@claim(
    name="total-opt-6-7b",
    statement="Parameters of OPT-6.7B.",
    published=6658473984,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_opt_6_7b() -> Measurement:
    return _total("opt-6.7b")


@claim(
    name="prunable-opt-6-7b",
    statement="Weights of the linear layers in the blocks of OPT-6.7B: what is pruned.",
    published=6442450944,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_opt_6_7b() -> Measurement:
    return _prunable("opt-6.7b")


@claim(
    name="biases-opt-6-7b",
    statement="Biases of OPT-6.7B, those of LayerNorms included.",
    published=1445888,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_opt_6_7b() -> Measurement:
    return _trained("opt-6.7b", "biases")


@claim(
    name="norms-opt-6-7b",
    statement="Parameters of the norms of OPT-6.7B.",
    published=532480,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_opt_6_7b() -> Measurement:
    return _trained("opt-6.7b", "norms")


@claim(
    name="biases-norms-opt-6-7b",
    statement="Biases and norms of OPT-6.7B together.",
    published=1712128,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_norms_opt_6_7b() -> Measurement:
    return _trained("opt-6.7b", "biases+norms")


@claim(
    name="adapters-opt-6-7b",
    statement="Low-rank adapters of rank 16 on all linear layers of OPT-6.7B's blocks.",
    published=37748736,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def adapters_opt_6_7b() -> Measurement:
    return _trained("opt-6.7b", "masklora")


@claim(
    name="everything-opt-6-7b",
    statement="Biases, norms, adapters and the head's adapter of OPT-6.7B.",
    published=40330752,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def everything_opt_6_7b() -> Measurement:
    return _trained("opt-6.7b", EVERYTHING)


@claim(
    name="total-opt-30b",
    statement="Parameters of OPT-30B.",
    published=29974540288,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_opt_30b() -> Measurement:
    return _total("opt-30b")


@claim(
    name="prunable-opt-30b",
    statement="Weights of the linear layers in the blocks of OPT-30B: what is pruned.",
    published=29595009024,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_opt_30b() -> Measurement:
    return _prunable("opt-30b")


@claim(
    name="biases-opt-30b",
    statement="Biases of OPT-30B, those of LayerNorms included.",
    published=3791872,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_opt_30b() -> Measurement:
    return _trained("opt-30b", "biases")


@claim(
    name="norms-opt-30b",
    statement="Parameters of the norms of OPT-30B.",
    published=1390592,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_opt_30b() -> Measurement:
    return _trained("opt-30b", "norms")


@claim(
    name="biases-norms-opt-30b",
    statement="Biases and norms of OPT-30B together.",
    published=4487168,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def biases_norms_opt_30b() -> Measurement:
    return _trained("opt-30b", "biases+norms")


@claim(
    name="adapters-opt-30b",
    statement="Low-rank adapters of rank 16 on all linear layers of OPT-30B's blocks.",
    published=99090432,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def adapters_opt_30b() -> Measurement:
    return _trained("opt-30b", "masklora")


@claim(
    name="everything-opt-30b",
    statement="Biases, norms, adapters and the head's adapter of OPT-30B.",
    published=104496640,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def everything_opt_30b() -> Measurement:
    return _trained("opt-30b", EVERYTHING)


@claim(
    name="total-llama-2-7b",
    statement="Parameters of LLaMA-2-7B.",
    published=6738415616,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_llama_2_7b() -> Measurement:
    return _total("llama-2-7b")


@claim(
    name="prunable-llama-2-7b",
    statement="Weights of the linear layers in the blocks of LLaMA-2-7B: what is pruned.",
    published=6476005376,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_llama_2_7b() -> Measurement:
    return _prunable("llama-2-7b")


@claim(
    name="norms-llama-2-7b",
    statement="Parameters of the norms of LLaMA-2-7B.",
    published=266240,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_llama_2_7b() -> Measurement:
    return _trained("llama-2-7b", "norms")


@claim(
    name="adapters-llama-2-7b",
    statement="Low-rank adapters of rank 16 on all linear layers of LLaMA-2-7B's blocks.",
    published=39976960,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def adapters_llama_2_7b() -> Measurement:
    return _trained("llama-2-7b", "masklora")


@claim(
    name="share-smallest",
    statement="Biases alone of OPT-30B are 0.01 % of it, the smaller end of the abstract.",
    published=0.01,
    published_text="0.01%-0.05%",
    source="abstract",
    unit="%",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def share_smallest() -> Measurement:
    return _share("opt-30b", "biases")


@claim(
    name="share-largest",
    statement="Biases and norms of OPT-1.3B are 0.05 % of it, the larger end of the abstract.",
    published=0.05,
    published_text="0.01%-0.05%",
    source="abstract",
    unit="%",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def share_largest() -> Measurement:
    return _share("opt-1.3b", "biases+norms")


@claim(
    name="share-everything",
    statement="All of it at rank 16 is 0.35 % of OPT-30B, as the first version's abstract says.",
    published=0.35,
    published_text="0.27%-0.35%",
    source="abstract",
    unit="%",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def share_everything() -> Measurement:
    return _share("opt-30b", EVERYTHING)


SEEDS = (0, 1, 2)
SPARSITIES = (0.5, 0.7)
SEARCH_SEED = 3
"""Chooses every way's learning rate at every sparsity, and is in no comparison."""
RATES = (1e-3, 3e-3, 1e-2)
DENSE_STEPS, STEPS, RANK = 1200, 150, 8
SETTING = (
    f"GPT-2 of bytes, 3 blocks of width 64, {DENSE_STEPS} steps dense, {STEPS} of retraining, rank "
    f"{RANK}, each way at the best of the rates {', '.join(map('{:g}'.format, RATES))} on another "
    f"seed; nats per byte of held-out files, paired by seed and sequence; {len(SEEDS)} seeds"
)


@functools.cache
def _dense(seed: int) -> nn.Module:
    """A trained model of bytes; not to be changed."""
    from parsimony.core.training import TrainSettings
    from parsimony.papers.byte_models import decoder, train_bytes

    model = decoder(64, seed, layers=3)
    settings = TrainSettings(4e-3, DENSE_STEPS, batch_size=16, seed=seed)
    train_bytes(model, settings, at=frozenset({DENSE_STEPS}))
    return model


@functools.cache
def _losses(
    seed: int, target: str, method: str = "", rate: float = RATES[0], way: str = "magnitude"
) -> np.ndarray:
    """Losses of the held-out sequences after pruning and, with a method, retraining; [rows]."""
    from parsimony.compress import retraining
    from parsimony.compress.pruning import prune
    from parsimony.papers.byte_models import Texts, collate, sequence_losses, windows

    model = copy.deepcopy(_dense(seed))
    masks = prune(model, target, way, _calibration(seed)).masks
    if method:
        settings = retraining.settings(STEPS, rate, batch_size=16, seed=seed)
        rows: Any = Texts(windows("train"))
        with tempfile.TemporaryDirectory() as folder:
            retraining.retrain(
                model, masks, rows, collate, method, settings, Path(folder), keep=False
            )
    return sequence_losses(model)


def _calibration(seed: int) -> torch.Tensor:
    """128 windows of the training files, others for each seed."""
    from parsimony.papers.byte_models import windows

    return windows("train")[seed::1000][:128].long()


@functools.cache
def _rate(share: float, method: str) -> float:
    """The learning rate that is best on the seed of the search."""
    return min(RATES, key=lambda rate: _losses(SEARCH_SEED, f"{share:g}", method, rate).mean())


def _arm(share: float, name: str) -> np.ndarray:
    """``_losses`` of all seeds, [seeds, rows]."""
    import numpy as np

    method = ROWS[name]
    rate = _rate(share, method) if method else RATES[0]
    return np.stack([_losses(seed, f"{share:g}", method, rate) for seed in SEEDS])


ROWS = {
    "none": "",
    "norms": "norms",
    "biases": "biases",
    "both": "biases+norms",
    "LoRA-Prune": f"lora-prune:r={RANK},alpha={2 * RANK}",
    "ScaleLoRA": f"scalelora:r={RANK}",
    "MaskLoRA": f"masklora:r={RANK},alpha={2 * RANK}",
    "full": "full",
}


def _better(pairs: Sequence[tuple[str, str]], shares: Sequence[float]) -> Measurement:
    """The least gain of the second of a pair over its first; holds where all intervals are > 0."""
    from parsimony.core.trials import paired

    gains = {
        (share, first, second): paired(_arm(share, first), _arm(share, second))
        for share in shares
        for first, second in pairs
    }
    least = min(gains.values(), key=lambda gain: gain.low)
    told = ", ".join(
        f"{share:.0%} {first} to {second} {gain.estimate:.3f}"
        for (share, first, second), gain in gains.items()
    )
    return Measurement(
        least.estimate, (least.low, least.high), f"{told}; {SETTING}", holds=least.low > 0
    )


@claim(
    name="tiny-norms-biases",
    statement="Norms alone, and biases alone, win back quality at 50 and 70 % sparsity.",
    published=None,
    published_text="a tiny part of the parameters wins back most of the quality",
    source="paper",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_norms_biases() -> Measurement:
    return _better([("none", "norms"), ("none", "biases")], SPARSITIES)


@claim(
    name="tiny-both",
    statement="Biases and norms together are better than either.",
    published=None,
    published_text="norms or biases > both, in perplexity",
    source="derived",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_both() -> Measurement:
    return _better([("norms", "both"), ("biases", "both")], SPARSITIES)


@claim(
    name="tiny-lora-prune",
    statement="LoRA-Prune is better than biases and norms.",
    published=None,
    published_text="both > LoRA-Prune, in perplexity",
    source="derived",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_lora_prune() -> Measurement:
    return _better([("both", "LoRA-Prune")], SPARSITIES)


@claim(
    name="tiny-scalelora",
    statement="At 70 % sparsity ScaleLoRA is better than LoRA-Prune; at 50 % they tie.",
    published=None,
    published_text="LoRA-Prune >= ScaleLoRA, in perplexity",
    source="derived",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_scalelora() -> Measurement:
    return _better([("LoRA-Prune", "ScaleLoRA")], SPARSITIES[1:])


@claim(
    name="tiny-masklora",
    statement="MaskLoRA is better than LoRA-Prune and than ScaleLoRA.",
    published=None,
    published_text="two sparsity-preserving LoRA variants close the gap at high sparsity",
    source="abstract",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_masklora() -> Measurement:
    return _better([("LoRA-Prune", "MaskLoRA"), ("ScaleLoRA", "MaskLoRA")], SPARSITIES)


@claim(
    name="tiny-gap-grows",
    statement="The gap between LoRA-Prune and MaskLoRA is larger at 70 % than at 50 % sparsity.",
    published=None,
    published_text="the gap grows with sparsity",
    source="derived",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_gap_grows() -> Measurement:
    from parsimony.core.trials import paired

    small, large = (_arm(share, "LoRA-Prune") - _arm(share, "MaskLoRA") for share in SPARSITIES)
    gain = paired(large, small)
    return Measurement(
        gain.estimate,
        (gain.low, gain.high),
        f"{small.mean():.3f} at 50 %, {large.mean():.3f} at 70 %; {SETTING}",
        holds=gain.low > 0,
    )


@claim(
    name="tiny-masklora-full",
    statement="MaskLoRA's perplexity is within 2 % of full retraining in as many steps.",
    published=None,
    published_text="can match full retraining across sparsities",
    source="abstract",
    unit="% of perplexity",
    direction="at most",
    level="cpu",
)
def tiny_masklora_full() -> Measurement:
    import math

    from parsimony.core.trials import paired

    gaps = {share: paired(_arm(share, "MaskLoRA"), _arm(share, "full")) for share in SPARSITIES}
    worst = max(gaps.values(), key=lambda gap: gap.high)
    value, low, high = (100 * math.expm1(nats) for nats in (worst.estimate, worst.low, worst.high))
    told = ", ".join(
        f"{share:.0%} {100 * math.expm1(gap.estimate):+.2f}" for share, gap in gaps.items()
    )
    return Measurement(value, (low, high), f"{told}; {SETTING}", holds=high <= 2)


RECONSTRUCTIONS = (
    ("magnitude", "0.5"),
    ("wanda", "0.5"),
    ("sparsegpt", "0.5"),
    ("magnitude", "2:4"),
)
RECONSTRUCTION = (
    "norms, biases and MaskLoRA of rank 8, 200 steps at rate 3e-3 per block, 128 windows"
)


@functools.cache
def _reconstructed(seed: int, way: str, target: str) -> tuple[float, np.ndarray]:
    """Share of the summed block errors that goes, and the losses of the held-out sequences."""
    from parsimony.compress.pruning import prune
    from parsimony.compress.reconstruction import Reconstruction
    from parsimony.papers.byte_models import sequence_losses

    model = copy.deepcopy(_dense(seed))
    method = f"biases+norms+{ROWS['MaskLoRA']}"
    given = Reconstruction(3e-3, 200, method, seed)
    pruned = prune(model, target, way, _calibration(seed), batch=16, reconstruct=given)
    before, after = (
        sum(block[key] for block in pruned.blocks) for key in ("error", "reconstructed")
    )
    return 1 - after / before, sequence_losses(model)


@claim(
    name="tiny-reconstruction",
    statement="Reconstruction lowers the summed block error, whatever pruned, 2:4 too.",
    published=None,
    published_text="the same adapters used layer-wise improve Wanda and SparseGPT clearly",
    source="abstract",
    unit="% of the error",
    direction="at least",
    level="cpu",
)
def tiny_reconstruction() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    gains = {
        f"{way} {target}": mean_of_seeds(
            [100 * _reconstructed(seed, way, target)[0] for seed in SEEDS]
        )
        for way, target in RECONSTRUCTIONS
    }
    value, interval = min(gains.values(), key=lambda gain: gain[1][0])
    told = ", ".join(f"{name} {gain:.0f}" for name, (gain, _) in gains.items())
    return Measurement(
        value, interval, f"{told}; {RECONSTRUCTION}; {SETTING}", holds=interval[0] > 0
    )


@claim(
    name="tiny-magnitude-reaches-wanda",
    statement="At 2:4, magnitude pruning with reconstruction is at least as good as plain Wanda.",
    published=None,
    published_text="make magnitude pruning competitive",
    source="abstract",
    unit="nats per byte",
    direction="at least",
    level="cpu",
)
def tiny_magnitude_reaches_wanda() -> Measurement:
    import numpy as np

    from parsimony.core.trials import paired

    wanda = np.stack([_losses(seed, "2:4", way="wanda") for seed in SEEDS])
    plain = np.stack([_losses(seed, "2:4") for seed in SEEDS])
    ours = np.stack([_reconstructed(seed, "magnitude", "2:4")[1] for seed in SEEDS])
    gain = paired(wanda, ours)
    return Measurement(
        gain.estimate,
        (gain.low, gain.high),
        f"Wanda {wanda.mean():.3f}, magnitude {plain.mean():.3f}, reconstructed {ours.mean():.3f}; "
        f"{RECONSTRUCTION}; {SETTING}",
        holds=gain.low >= 0,
    )


@claim(
    name="stdlib-lm-half",
    statement=(
        "Retraining at most 0.35 % of the parameters brings back at least half of the perplexity "
        "that magnitude pruning to 50 % lost."
    ),
    published=None,
    published_text="at least half",
    source="derived",
    unit="share of the loss",
    direction="at least",
    level="cpu",
)
def stdlib_lm_half() -> Measurement:
    import math

    from parsimony.compress import retraining
    from parsimony.compress.evaluation import loss_per_token
    from parsimony.compress.pruning import prune
    from parsimony.core import data, pretrained
    from parsimony.core.inputs.joined import WindowRows, collate_windows, windows
    from parsimony.papers.byte_models import mean_of_seeds

    found = pretrained.find("stdlib-lm")
    dense, words = pretrained.load_saved(found), pretrained.tokenizer(found)
    splits = data.load("stdlib-code").splits
    train, test = (windows(splits[name]["text"].tolist(), words, 128) for name in ("train", "test"))
    evaluation = loss_per_token(test[:: len(test) // 128][:128])

    def perplexity(model: nn.Module) -> float:
        return math.exp(float(evaluation.rows(model).mean()))

    pruned = copy.deepcopy(dense)
    masks = prune(pruned, "0.5").masks
    before, lost = perplexity(dense), perplexity(pruned)
    shares, method, steps, share = [], "norms+head:r=1", 500, 0.0
    for seed in SEEDS:
        model = copy.deepcopy(pruned)
        settings = retraining.settings(steps, 1e-2, batch_size=16, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            report = retraining.retrain(
                model, masks, WindowRows(train), collate_windows, method, settings, Path(folder),
                keep=False,
            ).report  # fmt: skip
        share = report["share"]
        shares.append((lost - perplexity(model)) / (lost - before))
    mean, interval = mean_of_seeds(shares)
    return Measurement(
        mean,
        interval,
        f"stdlib-lm, perplexity {before:.3f}, {lost:.3f} pruned; {method}, {share:.2%} of the "
        f"parameters, {steps} steps at rate 0.01; {len(SEEDS)} seeds",
        holds=interval[0] >= 0.5 and share <= 0.0035,
    )
