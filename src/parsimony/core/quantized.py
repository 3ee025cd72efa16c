"""One linear layer in bitsandbytes' 8-bit or 4-bit form, on the CPU."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn


def quantized(layer: Any, bits: int) -> nn.Module:
    """A frozen copy of a dense layer whose weight is in 8-bit (LLM.int8) or 4-bit (nf4) form.

    Args:
        layer: with ``weight`` of shape (outputs, inputs) and a ``bias`` or ``None``.
        bits: 8 or 4.
    """
    bnb = importlib.import_module("bitsandbytes").nn
    outputs, inputs = layer.weight.shape
    has_bias = layer.bias is not None
    if bits == 8:
        found = bnb.Linear8bitLt(inputs, outputs, bias=has_bias, has_fp16_weights=False)
        found.weight = bnb.Int8Params(layer.weight.data, requires_grad=False)
    else:
        found = bnb.Linear4bit(
            inputs, outputs, bias=has_bias, compute_dtype=torch.float32, quant_type="nf4"
        )
        found.weight = bnb.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
    if has_bias:
        found.bias = nn.Parameter(layer.bias.data, requires_grad=False)
    made: nn.Module = found.to("cpu")
    return made
