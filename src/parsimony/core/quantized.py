"""bitsandbytes' layers, and stand-ins of them without codes; importing it loads bitsandbytes."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn
from torch.nn import functional

bitsandbytes: Any = importlib.import_module("bitsandbytes")  # its types are not exported

_BLOCK = 64  # values of a 4-bit layer that share a scale
_OUTER = 256  # scales that share one of their own


class _Product(torch.autograd.Function):
    """Output of a layer whose weight is made from codes, and made again in the backward pass.

    An 8-bit layer keeps its input for the backward pass, a 4-bit layer does not.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: torch.Tensor, layer: nn.Linear, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.layer = layer
        ctx.input = x if isinstance(layer, Stand8bit) else None
        return functional.linear(x, _weight(layer, x), bias)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        return grad @ _weight(ctx.layer, grad), None, None


def _weight(layer: nn.Linear, like: torch.Tensor) -> torch.Tensor:
    return like.new_empty(layer.out_features, layer.in_features)


class Stand4bit(bitsandbytes.nn.Linear4bit):  # type: ignore[misc]
    """Codes of half a byte, a byte per block of 64, four per 256 blocks, and two code books."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Product.apply(x, self, self.bias)  # type: ignore[no-untyped-call,no-any-return]


class Stand8bit(bitsandbytes.nn.Linear8bitLt):  # type: ignore[misc]
    """Codes of a byte, and four bytes per row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Product.apply(x, self, self.bias)  # type: ignore[no-untyped-call,no-any-return]


def quantized(layer: Any, bits: int) -> nn.Module:
    """A frozen copy of a dense layer whose weight is in 8-bit (LLM.int8) or 4-bit (nf4) form.

    Args:
        layer: with ``weight`` of shape (outputs, inputs) and a ``bias`` or ``None``.
        bits: 8 or 4.
    """
    bnb = bitsandbytes.nn
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


def stand_in(layer: nn.Module, bits: int) -> nn.Module:
    """A layer on the meta device that costs what ``layer`` does once it is quantized."""
    first, second = layer.weight.shape  # type: ignore[union-attr,misc]
    outputs, inputs = (first, second) if isinstance(layer, nn.Linear) else (second, first)
    count, bias = outputs * inputs, layer.bias is not None
    kinds = {"device": "meta", "bias": bias}
    found: Any
    if bits == 4:
        found = Stand4bit(inputs, outputs, compute_dtype=torch.bfloat16, quant_type="nf4", **kinds)
        codes = torch.empty((count + 1) // 2, 1, dtype=torch.uint8, device="meta")
        found.weight = bitsandbytes.nn.Params4bit(codes, requires_grad=False, quant_type="nf4")
        blocks = -(-count // _BLOCK)
        scales = {"absmax": (blocks, torch.uint8), "outer": (-(-blocks // _OUTER), torch.float32),
                  "book": (16, torch.float32), "outer_book": (256, torch.float32),
                  "offset": (1, torch.float32)}  # fmt: skip
    else:
        found = Stand8bit(inputs, outputs, has_fp16_weights=False, **kinds)
        codes = torch.empty(outputs, inputs, dtype=torch.int8, device="meta")
        found.weight = bitsandbytes.nn.Int8Params(codes, requires_grad=False)
        scales = {"rows": (outputs, torch.float32)}
    for name, (length, dtype) in scales.items():
        found.register_buffer(name, torch.empty(length, dtype=dtype, device="meta"), False)
    if bias:
        found.bias = layer.bias
    return found  # type: ignore[no-any-return]


def values(layer: Any) -> torch.Tensor:
    """What the codes of a quantized layer stand for, in float32; shape (outputs, inputs)."""
    if isinstance(layer, bitsandbytes.nn.Linear4bit):
        state = layer.weight.quant_state
        found: torch.Tensor = bitsandbytes.functional.dequantize_4bit(layer.weight.data, state)
        return found.float()
    scales = layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB
    codes = layer.state.CB if layer.weight.CB is None else layer.weight.CB
    return codes.float() * scales[:, None] / 127  # type: ignore[no-any-return]
