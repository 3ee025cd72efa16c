"""Layers of every type, drawn at small shapes, in a network that a tuner can be put into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from transformers import ASTConfig
from transformers.models.audio_spectrogram_transformer import (
    modeling_audio_spectrogram_transformer as ast,
)
from transformers.pytorch_utils import Conv1D

FLOATING = ("Linear", "Conv1D", "Conv1d", "Conv2d", "Conv3d", "LayerNorm")
# Modules of several layers: they give hidden states, (rows, tokens, width), and take the same or
# a spectrogram, (rows, frames, mel bands).
MODULES = ("ASTEmbeddings", "ASTLayer", "ASTAttention")
_FRAMES, _MELS = 20, 16


class Net(nn.Module):
    """Two layers of one type side by side under a frozen head; rows in, three logits out.

    The head reads the mean over tokens, of which an adapter may make more, and every value of
    what is convolved.
    """

    def __init__(self, make: Callable[[], nn.Module], sample: torch.Tensor) -> None:
        super().__init__()
        self.first, self.second = make(), make()
        self.convolved = isinstance(self.first, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        with torch.no_grad():
            found = self.read(self.first, sample)
        self.head = nn.Linear(found.shape[1], 3, dtype=found.dtype)

    def read(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """What the head reads of one layer; shape (rows, features)."""
        found = layer(x)
        output: torch.Tensor = found if isinstance(found, torch.Tensor) else found[0]
        tokens = output.ndim > 2 and not self.convolved
        return output.mean(1) if tokens else output.flatten(1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        logits = self.head(self.read(self.first, x) + self.read(self.second, x))
        found = {"logits": logits}
        if labels is not None:
            found["loss"] = functional.cross_entropy(logits, labels)
        return found


@dataclass(frozen=True)
class Case:
    """A type of layer at one shape.

    Attributes:
        kind: class name of the layer.
        make: a new layer.
        sample: its input; shape (rows, ...).
    """

    kind: str
    make: Callable[[], nn.Module]
    sample: torch.Tensor

    def net(self, dtype: torch.dtype = torch.float32) -> Net:
        """The same network every time."""
        torch.manual_seed(0)
        return Net(self.make, self.sample).to(dtype).eval()

    def input(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return self.sample.to(dtype) if self.sample.is_floating_point() else self.sample


def fixed(kind: str, size: int) -> Case:
    """The case of a type at one size, the same every time."""
    random = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    if kind in MODULES:
        return _module(kind, size, normal)
    if kind == "Linear":
        return Case(kind, lambda: nn.Linear(size, size), normal(4, size))
    convolution = getattr(nn, kind)
    return Case(kind, lambda: convolution(size, size, 3), normal(4, size, *[6] * int(kind[4])))


def _module(kind: str, width: int, normal: Callable[..., torch.Tensor]) -> Case:
    settings = ASTConfig(
        hidden_size=width, num_attention_heads=2, intermediate_size=2 * width,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        max_length=_FRAMES, num_mel_bins=_MELS, attn_implementation="eager",
    )  # fmt: skip
    sample = normal(4, _FRAMES, _MELS) if kind == "ASTEmbeddings" else normal(4, 3, width)
    return Case(kind, lambda: getattr(ast, kind)(settings), sample)


def drawn(kind: str, draw: Callable[[Any], Any], multiple: int, square: bool) -> Case:
    """Draw a shape; sizes are multiples of ``multiple``, equal on both sides where ``square``."""
    sizes = st.integers(1, 3).map(lambda n: multiple * n)
    inputs = draw(sizes)
    outputs = inputs if square else draw(sizes)
    random = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    if kind == "Linear":
        bias = draw(st.booleans())
        return Case(kind, lambda: nn.Linear(inputs, outputs, bias=bias), normal(4, 2, inputs))
    if kind == "Conv1D":
        return Case(kind, lambda: Conv1D(outputs, inputs), normal(4, 2, inputs))
    if kind == "LayerNorm":
        return Case(kind, lambda: nn.LayerNorm(inputs), normal(4, 2, inputs))
    if kind in MODULES:
        return _module(kind, inputs, normal)
    if kind == "Embedding":
        rows, padding = outputs + 3, draw(st.sampled_from([None, 0]))
        ids = torch.randint(rows, (4, 3), generator=random)
        return Case(kind, lambda: nn.Embedding(rows, inputs, padding_idx=padding), ids)
    dims = int(kind[4])
    groups = draw(st.sampled_from([1, 2, inputs] if inputs == outputs else [1, 2]))
    options = {
        "kernel_size": tuple(draw(st.sampled_from([1, 3])) for _ in range(dims)),
        "stride": draw(st.sampled_from([1, 2])),
        "padding": draw(st.sampled_from([0, 1])),
        "dilation": draw(st.sampled_from([1, 2])),
        "groups": groups,
        "padding_mode": draw(st.sampled_from(["zeros", "circular"])),
    }
    convolution = getattr(nn, kind)
    return Case(
        kind, lambda: convolution(inputs, outputs, **options), normal(4, inputs, *[6] * dims)
    )
