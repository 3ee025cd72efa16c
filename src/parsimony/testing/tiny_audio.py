"""A tiny random Audio Spectrogram Transformer, and folders of made-up sounds, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from parsimony.adapt.setup import Setup
from parsimony.core import pretrained
from parsimony.core.data import sounds
from parsimony.testing.tiny import FEEDFORWARD, HEADS, HIDDEN, LAYERS

MELS = 32
FRAMES = 40
KINDS = ("chirp-up", "high-noise", "tone")


def config(**changes: Any) -> ASTConfig:
    """Of the tiny model: 2 x 3 patches; no dropout."""
    plain = {
        "hidden_size": HIDDEN,
        "intermediate_size": FEEDFORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_mel_bins": MELS,
        "max_length": FRAMES,
    }
    return ASTConfig(**{**plain, **changes})


def write(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write config, safetensors and feature extractor of a random model.

    Args:
        folder: where to; made if need be.
        seed: of the weights; all are random, positions and biases too.
        changes: of the config.

    Returns:
        ``folder``
    """
    settings = config(**changes)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = ASTForAudioClassification(settings)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder, safe_serialization=True)
    extractor(settings).save_pretrained(folder)
    return folder


def extractor(settings: ASTConfig) -> ASTFeatureExtractor:
    """A feature extractor for a config, with the mean and deviation of the made-up sounds."""
    return ASTFeatureExtractor(
        num_mel_bins=settings.num_mel_bins, max_length=settings.max_length, mean=-8.0, std=4.0
    )


def write_sounds(
    folder: Path, kinds: Sequence[str] = KINDS, per_class: int = 6, seconds: float = 0.4
) -> Path:
    """Write a folder of WAV files with one sub-folder per kind (see ``core.data.sounds``)."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            data = sounds.wav(sounds.make(kind, number, seconds))
            (folder / kind / f"{number}.wav").write_bytes(data)
    return folder


def setup(folder: Path, labels: tuple[str, ...] = KINDS, **shape: int) -> Setup:
    """What ``adapt.solve`` asks for a model that ``write`` wrote; there is no data behind it.

    Args:
        folder: of the model.
        labels: class names.
        shape: ``window`` (frames) and ``batch`` (rows, 4 by default).
    """
    return Setup(
        model=pretrained.find(str(folder)),
        data="made up",
        task="audio-classification",
        labels=labels,
        text=("audio",),
        label="label",
        fingerprint="",
        window=shape.get("window", FRAMES),
        batch=shape.get("batch", 4),
        device="cpu",
        threads=1,
        folder=folder,
    )
