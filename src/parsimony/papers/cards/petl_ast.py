# Long because every row of the published tables is a claim of its own.
"""Parameter-Efficient Transfer Learning of Audio Spectrogram Transformers."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build, count

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

CARD = {
    "slug": "petl-ast",
    "title": "Parameter-Efficient Transfer Learning of Audio Spectrogram Transformers",
    "authors": None,
    "year": 2023,
    "arxiv": "2312.03694",
    "venue": "IEEE MLSP 2024",
    "areas": ("adapt",),
    "mechanism": "adapt/bottleneck, adapt/patch_prompts, audio data",
    "summary": (
        "Adapts an audio transformer to a new sound or speech task by training well under one "
        "percent of its parameters."
    ),
    "official_code": ("umbertocappellazzo/PETL_AST",),
    "licence": None,
}

# transformers' defaults are the published model: 12 layers, width 768, 128 mel bands, 1024 frames.
AST = {"config": "ASTConfig", "model": "ASTModel"}


def bottleneck(*, norms: bool, **settings: Any) -> Measurement:
    """Trainable parameters of adapters beside every feed-forward, and of its norm if asked for."""
    from parsimony.adapt.methods.bottleneck import BottleneckConfig

    saved = ["layernorm_after"] if norms else None
    return adapted(
        build(AST), BottleneckConfig, placement="ffn", order="parallel", modules_to_save=saved,
        **settings,
    )  # fmt: skip


def tokens(frames: int) -> Measurement:
    """Patches of a spectrogram of the published model, and the two special tokens."""
    from parsimony.core.spectrogram import SPECIAL_TOKENS, grid

    frequency, time = grid(require("transformers", "adapt").ASTConfig(), frames)
    return Measurement(
        frequency * time + SPECIAL_TOKENS, note=f"{frequency} x {time} patches and two tokens"
    )


@claim(
    name="total-1024",
    statement="The backbone for clips of 1024 frames has this many parameters.",
    published=86_187_264,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_1024() -> Measurement:
    return count(build({**AST, "max_length": 1024}), "all parameters, without a head")


@claim(
    name="total-500",
    statement="The backbone for clips of 500 frames has this many parameters.",
    published=85_708_032,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_500() -> Measurement:
    return count(build({**AST, "max_length": 500}), "all parameters, without a head")


@claim(
    name="total-100",
    statement="The backbone for clips of 100 frames has this many parameters.",
    published=85_339_392,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_100() -> Measurement:
    return count(build({**AST, "max_length": 100}), "all parameters, without a head")


@claim(
    name="encoder-layers",
    statement="The twelve encoder layers hold this many of the parameters.",
    published=85_054_464,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def encoder_layers() -> Measurement:
    return count(build(AST).get_submodule("layers"), "the list of layers")


@claim(
    name="final-norm",
    statement="The final LayerNorm, which every method trains, has this many.",
    published=1_536,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def final_norm() -> Measurement:
    return count(build(AST).get_submodule("layernorm"), "scale and shift")


@claim(
    name="tokens-1024",
    statement="A clip of 1024 frames becomes this many tokens.",
    published=1_214,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
)
def tokens_1024() -> Measurement:
    return tokens(1024)


@claim(
    name="tokens-500",
    statement="A clip of 500 frames becomes this many tokens.",
    published=590,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
)
def tokens_500() -> Measurement:
    return tokens(500)


@claim(
    name="tokens-400",
    statement="A clip of 400 frames becomes this many tokens.",
    published=470,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
)
def tokens_400() -> Measurement:
    return tokens(400)


@claim(
    name="tokens-100",
    statement="A clip of 100 frames becomes this many tokens.",
    published=110,
    source="derived",
    unit="tokens",
    direction="equal",
    level="exact",
)
def tokens_100() -> Measurement:
    return tokens(100)


@claim(
    name="bitfit",
    statement="BitFit trains the biases of the linear and normalisation layers.",
    published=102_144,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bitfit() -> Measurement:
    model = build(AST)
    for name, parameter in model.named_parameters():
        # The convolution that cuts the patches is no linear layer.
        parameter.requires_grad = name.endswith(".bias") and "patch_embeddings" not in name
    return count(model, "every bias but that of the patch convolution")


@claim(
    name="lora-r6",
    statement="LoRA of rank 6 (RR 128) on query and value.",
    published=221_184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def lora_r6() -> Measurement:
    return adapted(build(AST), "LoraConfig", r=6, target_modules=["q_proj", "v_proj"])


@claim(
    name="lora-r12",
    statement="LoRA of rank 12 (RR 64) on query and value.",
    published=442_368,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def lora_r12() -> Measurement:
    return adapted(build(AST), "LoraConfig", r=12, target_modules=["q_proj", "v_proj"])


@claim(
    name="shallow-prompt-300",
    statement="300 prompts at the input (SPT).",
    published=230_400,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def shallow_prompt_300() -> Measurement:
    from parsimony.adapt.methods.patch_prompts import ShallowPromptConfig

    return adapted(build(AST), ShallowPromptConfig, num_virtual_tokens=300)


@claim(
    name="deep-prompt-25",
    statement="25 prompts, fresh at every layer (DPT).",
    published=230_400,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def deep_prompt_25() -> Measurement:
    from parsimony.adapt.methods.patch_prompts import DeepPromptConfig

    return adapted(build(AST), DeepPromptConfig, num_virtual_tokens=25)


@claim(
    name="prefix-24",
    statement="A prefix of 12 keys and 12 values in every layer.",
    published=221_184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prefix_24() -> Measurement:
    from parsimony.adapt.methods.patch_prompts import AttentionPrefixConfig

    return adapted(build(AST), AttentionPrefixConfig, num_virtual_tokens=24)


@claim(
    name="bottleneck-rr64",
    statement="One bottleneck adapter of width 12 in each layer.",
    published=230_544,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bottleneck_rr64() -> Measurement:
    return bottleneck(norms=False, width=12)


@claim(
    name="bottleneck-rr64-norms",
    statement="The same with the LayerNorms of the adapted sub-layers.",
    published=248_976,
    published_text="249K (recalled)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bottleneck_rr64_norms() -> Measurement:
    return bottleneck(norms=True, width=12)


@claim(
    name="conformer-rr96-kernel-31",
    statement="One conformer adapter of width 8 and kernel 31 in each layer.",
    published=252_288,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conformer_31() -> Measurement:
    return bottleneck(norms=False, block="conformer", width=8, kernel=31)


@claim(
    name="conformer-rr96-kernel-31-norms",
    statement="The same with the LayerNorms of the adapted sub-layers.",
    published=270_720,
    published_text="271K (read in a replication plan)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conformer_31_norms() -> Measurement:
    return bottleneck(norms=True, block="conformer", width=8, kernel=31)


@claim(
    name="conformer-rr96-kernel-8",
    statement="One conformer adapter of width 8 and kernel 8 in each layer.",
    published=250_080,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conformer_8() -> Measurement:
    return bottleneck(norms=False, block="conformer", width=8, kernel=8)


@claim(
    name="conformer-rr96-kernel-8-norms",
    statement="The same with the LayerNorms of the adapted sub-layers.",
    published=268_512,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def conformer_8_norms() -> Measurement:
    return bottleneck(norms=True, block="conformer", width=8, kernel=8)


@claim(
    name="conformer-share",
    statement="The conformer adapter trains 0.29 percent of the model.",
    published=0.29,
    source="abstract",
    unit="percent",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def conformer_share() -> Measurement:
    backbone = build({**AST, "max_length": 500})
    part = bottleneck(norms=False, block="conformer", width=8, kernel=8).value
    whole = sum(p.numel() for p in backbone.parameters())
    return Measurement(100 * part / whole, note="250,080 of the backbone for 500 frames")


@claim(
    name="head-esc-50",
    statement="The head of ESC-50 adds a weight for every feature and class, and a bias.",
    published=38_450,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def head_esc_50() -> Measurement:
    model = build({**AST, "model": "ASTForAudioClassification", "num_labels": 50})
    return count(model.get_submodule("classifier.dense"), "its linear layer")


@claim(
    name="head-speech-commands",
    statement="The head of the 35 speech commands.",
    published=26_915,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def head_speech_commands() -> Measurement:
    model = build({**AST, "model": "ASTForAudioClassification", "num_labels": 35})
    return count(model.get_submodule("classifier.dense"), "its linear layer")


@claim(
    name="two-zero-projections-never-learn",
    statement="With both projections at zero, as in the official code, neither weight ever moves.",
    published=0.0,
    source="derived",
    unit="largest absolute weight after 50 steps",
    direction="equal",
    level="exact",
)
def two_zero_projections() -> Measurement:
    from parsimony.adapt.methods.bottleneck.blocks import Dense

    torch = require("torch", "adapt")
    block = Dense(16, 4, "gelu")
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    moved = _train(block)
    return Measurement(
        max(block.down.weight.abs().max().item(), block.up.weight.abs().max().item()),
        note=f"AdamW; the last bias moved by up to {moved:.2g}",
    )


@claim(
    name="the-adapter-here-learns",
    statement="Drawn as here, only the last projection at zero, both weights move.",
    published=None,
    published_text="the defect of the official code must not be here",
    source="derived",
    unit="smallest largest move of the two weights",
    direction="equal",
    level="exact",
)
def the_adapter_here_learns() -> Measurement:
    from parsimony.adapt.methods.bottleneck.blocks import Dense, start

    block = Dense(16, 4, "gelu")
    start(block, "zero-up")
    before = [block.down.weight.detach().clone(), block.up.weight.detach().clone()]
    _train(block)
    after = [block.down.weight, block.up.weight]
    least = min((a - b).abs().max().item() for a, b in zip(after, before, strict=True))
    return Measurement(least, note="AdamW, 50 steps", holds=least > 1e-3)


def _train(block: nn.Module) -> float:
    """Fifty AdamW steps towards random targets; how far the last bias went."""
    torch = require("torch", "adapt")
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(32, 16, generator=random) for _ in range(2))
    stepper = torch.optim.AdamW(block.parameters(), lr=5e-3)
    for _ in range(50):
        stepper.zero_grad()
        (block(x) - y).square().mean().backward()
        stepper.step()
    largest: float = block.up.bias.abs().max().item()
    return largest


def _write_model(folder: Path) -> None:
    """A small random AST with the feature extractor of its sounds."""
    torch, transformers = require("torch", "adapt"), require("transformers", "adapt")
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=96, intermediate_size=192, num_hidden_layers=4, num_attention_heads=4,
        num_mel_bins=64, max_length=100,
    )  # fmt: skip
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(
        num_mel_bins=64, max_length=100, mean=-8.0, std=4.0
    ).save_pretrained(folder)


def _write_sounds(folder: Path, kinds: list[str], per_class: int) -> None:
    """A sub-folder of made-up sounds for each kind."""
    from parsimony.core.data import sounds

    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(per_class):
            (folder / kind / f"{number}.wav").write_bytes(sounds.wav(sounds.make(kind, number)))


@cache
def arms() -> dict[str, np.ndarray]:
    """Test scores of five arms, (seeds, rows): a small AST trained on six kinds of made-up sounds,
    then adapted to six others with 24 sounds of each."""
    from parsimony.core.data.sounds import CLASSES
    from parsimony.papers.comparing import Arm, compare, pretrain

    kinds = sorted(CLASSES)
    with tempfile.TemporaryDirectory() as scratch:
        model, first, second = (Path(scratch) / name for name in ("ast", "first", "second"))
        _write_model(model)
        _write_sounds(first, kinds[::2], 60)
        _write_sounds(second, kinds[1::2], 40)
        pretrain(model, first, steps=150, learning_rate=1e-3, window=100)
        return compare(
            {
                "linear": Arm("linear-probe", 0, 5e-2),
                "lora": Arm("lora", 4, 5e-3),
                "bottleneck": Arm("bottleneck", 8, 5e-3),
                "conformer": Arm("conformer", 4, 5e-3),
                "prompts": Arm("deep-prompt", 16, 1e-2),
            },
            steps=90, seeds=5, model=str(model), data=str(second), window=100,
        )  # fmt: skip


def _against(better: str, worse: str) -> Measurement:
    from parsimony.papers.comparing import advantage

    return advantage(
        arms(), better, worse,
        note="one backbone, one rate per method, not searched; the conformer trains the norms too",
    )  # fmt: skip


@claim(
    name="conformer-beats-the-linear-probe",
    statement="The conformer adapter is better than the linear probe on new sounds.",
    published=None,
    published_text="beats standard methods (abstract); here on a small model and made-up sounds",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def conformer_beats_linear() -> Measurement:
    return _against("conformer", "linear")


@claim(
    name="conformer-beats-lora",
    statement="The conformer adapter is better than LoRA with about as many parameters.",
    published=None,
    published_text="beats standard methods (abstract); here on a small model and made-up sounds",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def conformer_beats_lora() -> Measurement:
    return _against("conformer", "lora")


@claim(
    name="conformer-beats-the-bottleneck",
    statement="The conformer adapter is better than the dense bottleneck adapter.",
    published=None,
    published_text="beats standard methods (abstract); here on a small model and made-up sounds",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def conformer_beats_bottleneck() -> Measurement:
    return _against("conformer", "bottleneck")


@claim(
    name="conformer-beats-deep-prompts",
    statement="The conformer adapter is better than deep prompts of about as many parameters.",
    published=None,
    published_text="beats standard methods (abstract); here on a small model and made-up sounds",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def conformer_beats_deep_prompts() -> Measurement:
    return _against("conformer", "prompts")
