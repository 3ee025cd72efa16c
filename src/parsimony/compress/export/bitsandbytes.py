"""The form in which bitsandbytes' layers are saved: nf4, fp4 and int8.

4 bits: ``weight`` (two codes a byte, one column), ``weight.absmax``, ``weight.quant_map`` and, with
double quantization, ``weight.nested_absmax`` and ``weight.nested_quant_map``; the rest is JSON in
a tensor of bytes. 8 bits: ``weight``, ``SCB`` (absmax of rows) and ``weight_format``.

bitsandbytes 0.50 reads 4-bit layers wrongly on the CPU where the block does not divide the inputs,
so they are refused.
"""

from __future__ import annotations

import json
from typing import Any, cast

import torch
from torch import Tensor, nn

from parsimony.compress.codebooks import (
    METADATA,
    OUTER,
    BlockCodes,
    DoubleScales,
    dynamic_code,
)
from parsimony.compress.export.format import AnyCodes, Format
from parsimony.compress.llm_int8 import RowCodes
from parsimony.core import precision
from parsimony.core.errors import InputError

BOOKS = ("nf4", "fp4")


class BitsAndBytes(Format):
    """Code books and int8 rows, for transformers with bitsandbytes."""

    name = "bitsandbytes"
    extra = "bitsandbytes"

    @classmethod
    def holds(cls, codes: AnyCodes, layer: nn.Module) -> bool:
        """Block codes and row codes; a ``Conv1D`` is read back as a linear layer."""
        return isinstance(codes, BlockCodes | RowCodes)

    def check(self) -> None:
        """Refuse mixtures, activations but those of int8, and widths that are read wrongly."""
        kinds = sorted({_kind(codes) for codes in self.codes.values()})
        if self.activations is not None and (kinds, self.activations) != (["int8"], 8):
            raise InputError(
                "bitsandbytes rounds the activations of int8 rows to 8 bits, and no others",
                got=f"{self.activations} bits with {', '.join(kinds)}",
                hint="Quantize the weights on an integer grid, such as '8'",
            )
        if len(kinds) > 1:
            raise InputError(
                "a folder for bitsandbytes holds layers of one code book",
                got=kinds,
                hint="Quantize all layers with the same",
            )
        for codes in self.codes.values():
            if isinstance(codes, BlockCodes) and codes.grid.book not in BOOKS:
                raise InputError(
                    f"bitsandbytes has the code books {' and '.join(BOOKS)}", got=codes.grid.book
                )
        for name, codes in self.codes.items():
            if isinstance(codes, BlockCodes) and codes.shape[1] % codes.grid.block:
                raise InputError(
                    f"{name}: the block must divide the {codes.shape[1]} inputs, for bitsandbytes "
                    "reads other layers wrongly on the CPU",
                    got=codes.grid.block,
                    hint="Choose a block that divides them, or leave this layer in float",
                )

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Codes, scales, code books and what else the library asks for."""
        codes = self.codes[name]
        if isinstance(codes, RowCodes):
            layout = torch.tensor(0, dtype=torch.uint8)  # rows
            return {"weight": codes.values, "SCB": codes.absmax, "weight_format": layout}
        codes = cast(BlockCodes, codes)
        told: dict[str, Any] = {
            "quant_type": codes.grid.book,
            "blocksize": codes.grid.block,
            "dtype": str(codes.dtype).removeprefix("torch."),
            "shape": list(codes.shape),
        }
        found = {"weight": codes.values[:, None], "weight.quant_map": codes.grid.book_codes()}
        if isinstance(codes.scales, DoubleScales):
            found["weight.absmax"] = codes.scales.values
            found["weight.nested_absmax"] = codes.scales.absmax
            found["weight.nested_quant_map"] = dynamic_code()
            told |= {
                "nested_blocksize": OUTER,
                "nested_dtype": "float32",
                "nested_offset": codes.scales.mean.item(),
            }
        else:
            found["weight.absmax"] = codes.scales
        text = json.dumps(told).ljust(METADATA).encode()
        key = f"weight.quant_state.bitsandbytes__{codes.grid.book}"
        return {**found, key: torch.tensor(list(text), dtype=torch.uint8)}

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """What ``BitsAndBytesConfig`` reads; layers in float are named."""
        from transformers.pytorch_utils import Conv1D

        kept = [
            name
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Linear | Conv1D) and name not in self.codes
        ]
        found: dict[str, Any] = {"quant_method": self.name, "llm_int8_skip_modules": kept}
        first = next(iter(self.codes.values()))
        if isinstance(first, RowCodes):
            return found | {"load_in_8bit": True, "llm_int8_threshold": 6.0}
        first = cast(BlockCodes, first)
        return found | {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": first.grid.book,
            "bnb_4bit_use_double_quant": first.grid.double,
            "bnb_4bit_compute_dtype": str(first.dtype).removeprefix("torch."),
            "bnb_4bit_quant_storage": "uint8",
        }

    def ready(self, reloaded: nn.Module) -> None:
        """Keep the codes in the order of the file; some processors' kernels would change it."""
        precision.keep_codes(reloaded)

    def weight(self, layer: nn.Module) -> Tensor:
        """What the library makes of the codes."""
        from parsimony.core.quantized import values

        return values(layer)


def _kind(codes: AnyCodes) -> str:
    return "int8" if isinstance(codes, RowCodes) else cast(BlockCodes, codes).grid.book
