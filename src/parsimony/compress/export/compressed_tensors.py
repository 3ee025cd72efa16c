"""The compressed-tensors format, written by hand: symmetric integer codes of 2 to 8 bits.

Weights alone ("pack-quantized"): row by row, codes less the lowest one fill 32-bit words from the
lowest bit on; ``weight_packed``, ``weight_scale`` and ``weight_shape``. With activations
("int-quantized"): a code is a byte, ``weight`` and ``weight_scale``, and every token's input is
rounded to a grid of its own when the model runs. transformers 5.23 reads both to the bit.

Not written: zero points. transformers 5.23 reads them neither packed nor plain.
"""

from __future__ import annotations

from collections import defaultdict
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from parsimony.compress.export.format import AnyCodes, Format
from parsimony.compress.grid import Codes, Grid
from parsimony.core.errors import InputError


class CompressedTensors(Format):
    """Integer codes for transformers, vLLM and SGLang."""

    name = "compressed-tensors"
    extra = "compressed_tensors"

    @classmethod
    def holds(cls, codes: AnyCodes, layer: nn.Module) -> bool:
        """Codes of a linear layer; it has no form for the transposed weight of a ``Conv1D``."""
        return isinstance(codes, Codes) and isinstance(layer, nn.Linear)

    def check(self) -> None:
        """Refuse zero points, and scales that the layer's type would change."""
        for name, layer in self.layers.items():
            codes = self._codes(name)
            if not codes.grid.symmetric:
                symmetric = Grid(codes.grid.bits, codes.grid.group)
                raise InputError(
                    f"{name}: an exported grid must be symmetric, for transformers does not read "
                    "the zero points of compressed-tensors",
                    got=str(codes.grid),
                    hint=f"Quantize with the grid '{symmetric}'",
                )
            dtype = cast(Tensor, layer.weight).dtype
            if not torch.equal(codes.scale.to(dtype).to(codes.scale.dtype), codes.scale):
                raise InputError(
                    f"{name}: scales must fit the layer's type {dtype}, in which they are stored",
                    got=codes.scale.dtype,
                    hint=f"Quantize with scale_dtype={dtype}",
                )

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Codes, packed or one per byte, and scales in the layer's type."""
        codes = self._codes(name)
        scale = codes.scale.to(cast(Tensor, self.layers[name].weight).dtype)
        if self.activations is not None:
            return {"weight": codes.values, "weight_scale": scale}
        return {
            "weight_packed": pack(codes.values, codes.grid.bits),
            "weight_scale": scale,
            "weight_shape": torch.tensor(codes.values.shape),
        }

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """One group of layers per grid; a single one is all linear layers but the ignored."""
        grids: dict[Grid, list[str]] = defaultdict(list)
        for name in self.codes:
            grids[self._codes(name).grid].append(name)
        linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
        return {
            "quant_method": self.name,
            "format": "pack-quantized" if self.activations is None else "int-quantized",
            "quantization_status": "compressed",
            "version": version("compressed-tensors"),
            "ignore": [name for name in linear if name not in self.codes],
            "config_groups": {
                f"group_{index}": {
                    "targets": ["Linear"] if len(grids) == 1 else names,
                    "weights": _weights(grid),
                    "input_activations": _tokens(self.activations),
                    "output_activations": None,
                }
                for index, (grid, names) in enumerate(grids.items())
            },
        }

    def weight(self, layer: nn.Module) -> Tensor:
        """The weight, which the first pass has made from the codes."""
        return cast(Tensor, layer.weight)

    def _codes(self, name: str) -> Codes:
        return cast(Codes, self.codes[name])


def pack(values: Tensor, bits: int) -> Tensor:
    """Fill 32-bit words with codes, row by row, from the lowest bit on.

    Args:
        values: int8 codes of a symmetric grid, shape (outputs, inputs).
        bits: of a code, 2 to 8.

    Returns:
        int32, shape (outputs, ceil(inputs * bits / 32)).
    """
    unsigned = (values.int() + 2 ** (bits - 1)).to(torch.uint8)
    stream = _bits(unsigned, bits).flatten(1)
    stream = functional.pad(stream, (0, -stream.shape[1] % 32))
    return _number(stream.unflatten(1, (-1, 8))).view(torch.int32)


def unpack(words: Tensor, bits: int, inputs: int) -> Tensor:
    """The int8 codes, shape (outputs, inputs), of which ``pack`` made ``words``."""
    stream = _bits(words.contiguous().view(torch.uint8), 8).flatten(1)[:, : inputs * bits]
    return (_number(stream.unflatten(1, (inputs, bits))).int() - 2 ** (bits - 1)).to(torch.int8)


def _bits(numbers: Tensor, bits: int) -> Tensor:
    """The lowest bits of uint8 numbers, lowest first, along a new last axis."""
    places = torch.arange(bits, dtype=torch.uint8, device=numbers.device)
    return (numbers[..., None] >> places) & 1


def _number(bits: Tensor) -> Tensor:
    """The uint8 number that the last axis holds, lowest bit first."""
    places = torch.arange(bits.shape[-1], dtype=torch.uint8, device=bits.device)
    return (bits << places).sum(-1, dtype=torch.uint8)


def _weights(grid: Grid) -> dict[str, Any]:
    return {
        "num_bits": grid.bits,
        "type": "int",
        "symmetric": True,
        "strategy": "channel" if grid.group is None else "group",
        "group_size": grid.group,
        "dynamic": False,
    }


def _tokens(bits: int | None) -> dict[str, Any] | None:
    if bits is None:
        return None
    kinds = {"type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    return {"num_bits": bits, **kinds}
