"""Bytes of a checkpoint: counted from the headers of its safetensors files, or planned before.

A library's own footprint call may leave out scales, or count codes as the values they stand for;
the header says what is on the disk: 8 bytes of length (little-endian), then JSON of every tensor's
type, shape and place.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.grid import Grid
from parsimony.compress.llm_int8 import Int8Rows
from parsimony.core.errors import InputError

AnyGrid = Grid | BlockGrid | Int8Rows

INDEX = "model.safetensors.index.json"

# What the last part of a tensor's name says that it is, in the formats of compressed-tensors,
# bitsandbytes, GPTQ and AWQ.
_ROLES = {
    "codes": {"weight_packed", "qweight"},
    "scales": {
        "weight_scale", "weight_zero_point", "weight_global_scale", "input_scale",
        "absmax", "nested_absmax", "SCB", "scales", "qzeros",
    },
    "code books": {"quant_map", "nested_quant_map"},
    "metadata": {"weight_shape", "weight_format", "g_idx", "bitsandbytes__nf4",
                 "bitsandbytes__fp4"},
}  # fmt: skip
_SCALES_OF_A_WEIGHT = ("weight_scale", "weight.absmax", "SCB")


@dataclass(frozen=True)
class Entry:
    """A stored tensor.

    Attributes:
        dtype: as safetensors writes it, such as ``BF16`` or ``I32``.
        shape: as stored; packed codes have fewer columns than the weight.
        bytes: of its data.
        file: that holds it.
        role: ``codes``, ``scales``, ``code books``, ``metadata``, or ``dense`` for all else.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    file: Path
    role: str


@dataclass(frozen=True)
class Sizes:
    """What a checkpoint stores.

    Attributes:
        tensors: by name.
        files: bytes of its safetensors files, headers included.
    """

    tensors: dict[str, Entry]
    files: int

    @property
    def total(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.bytes for entry in self.tensors.values())

    @property
    def by_role(self) -> dict[str, int]:
        """Bytes by role, of the roles that occur."""
        return self._sums(lambda entry: entry.role)

    @property
    def by_dtype(self) -> dict[str, int]:
        """Bytes by stored type."""
        return self._sums(lambda entry: entry.dtype)

    def _sums(self, key: Callable[[Entry], str]) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for entry in self.tensors.values():
            sums[key(entry)] += entry.bytes
        return dict(sorted(sums.items()))


def stored(folder: Path) -> Sizes:
    """Count the tensors of a checkpoint: the files its index lists, or all safetensors in it.

    Raises:
        InputError: no such file; one that the index lists is missing; one that is no safetensors
            file or is cut off; a name in two files.
    """
    files = _files(folder)
    headers = {file: read_header(file) for file in files}
    names = [name for header in headers.values() for name in header]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise InputError(f"{folder}: a tensor must be in one file only", got=twice[0])
    everything = set(names)
    return Sizes(
        {
            name: Entry(
                tensor["dtype"],
                tuple(tensor["shape"]),
                tensor["data_offsets"][1] - tensor["data_offsets"][0],
                file,
                _role(name, everything),
            )
            for file, header in headers.items()
            for name, tensor in sorted(header.items())
        },
        sum(file.stat().st_size for file in files),
    )


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise InputError("a checkpoint must hold a safetensors file", got=str(folder))
        return files
    try:
        listed = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [folder / name for name in sorted(listed)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{index}: the index must map tensors to files") from None
    for file in files:
        if file.parent != folder or not file.is_file():
            raise InputError(f"{index}: a file that the index lists must lie beside it",
                             got=file.name)  # fmt: skip
    return files


def read_header(file: Path) -> dict[str, dict]:
    """Type, shape and place of every tensor of a safetensors file, without reading the data.

    Raises:
        InputError: not a safetensors file, or one that is cut off.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        text = stream.read(length) if 8 + length <= size else b""
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{file}: it must be a whole safetensors file") from None
    if 8 + length + end != size:
        raise InputError(
            f"{file}: the file must be as long as its header says",
            got=f"{size} bytes instead of {8 + length + end}",
            hint="It was cut off; copy or write it again",
        )
    return header


def _role(name: str, names: Iterable[str]) -> str:
    layer, _, last = name.rpartition(".")
    for role, endings in _ROLES.items():
        if last in endings:
            return role
    dot = f"{layer}." if layer else ""
    if last == "weight" and any(f"{dot}{scale}" in names for scale in _SCALES_OF_A_WEIGHT):
        return "codes"
    return "dense"


def planned(
    model: nn.Module, grids: Mapping[str, AnyGrid], activations: int | None = None
) -> dict[str, int]:
    """Bytes by role that an export of ``model`` would store, in closed form.

    Args:
        model: on any device, also ``meta``; unchanged.
        grids: of linear layers by module name.
        activations: bits of their inputs; ``None`` for float.
    """
    own = model.state_dict()
    parameters = dict(model.named_parameters())  # tied ones once
    buffers = {name: value for name, value in model.named_buffers() if name in own}
    sums: Counter[str] = Counter()
    for name, value in {**parameters, **buffers}.items():
        layer, _, last = name.rpartition(".")
        module, grid = model.get_submodule(layer), grids.get(layer)
        linear = isinstance(module, nn.Linear)
        if last != "weight" or grid is None or (isinstance(grid, Grid) and not linear):
            sums["dense"] += value.numel() * value.element_size()
        elif isinstance(grid, Grid):
            size, packed = value.element_size(), activations is None
            sums.update(grid.stored_bytes(*value.shape, scale_bytes=size, packed=packed))
        else:
            shape = value.shape if linear else value.T.shape
            sums.update(grid.stored_bytes(*shape))
    return {role: count for role, count in sorted(sums.items()) if count}
