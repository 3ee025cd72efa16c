"""Check a compressed-tensors folder against its own config, without loading the weights.

The usual failures of such folders are shapes that do not fit their settings and settings that name
layers which are stored otherwise; a serving engine tells them late, or reads them wrongly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from parsimony.compress import sizes
from parsimony.core import artifacts, pretrained
from parsimony.core.cost import on_meta
from parsimony.core.errors import InputError

_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill"}
_FLOATS = {"F32", "F16", "BF16"}
_CODES = {"int-quantized": "I8", "float-quantized": "F8_E4M3"}  # type of unpacked codes
_SHOWN = 5  # problems in a message


@dataclass(frozen=True)
class Checked:
    """What a sound folder holds.

    Attributes:
        layers: in codes.
        dense: tensors stored as they are.
        bits: of the codes, by the number of layers that have them.
        bytes: of all tensors.
    """

    layers: int
    dense: int
    bits: dict[int, int]
    bytes: int


def check_export(folder: Path) -> Checked:
    """Check the headers, shapes and types of a folder, and that every layer has what it needs.

    Raises:
        InputError: a pickle in the folder, which is named; no compressed-tensors settings; files
            that are missing or cut off; tensors that do not fit the settings or the model.
    """
    folder = Path(folder)
    refuse_pickles(folder)
    settings = _settings(folder)
    model = _model(folder)
    stored, written, whole = _as_in(model, sizes.stored(folder))
    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    coded = {name.rpartition(".")[0] for name, e in stored.tensors.items() if e.role == "codes"}
    schemes = {name: _scheme(settings, name) for name in sorted({*coded, *linear})}
    problems = []
    for name, scheme in schemes.items():
        if scheme is None and name in coded:
            problems.append(f"'{name}' is in codes, which no group of the settings names")
        elif scheme is not None and name in coded:
            shape = tuple(linear[name].weight.shape) if name in linear else None
            problems += _layer(stored, written, name, scheme, shape)
        elif scheme is not None and whole:
            problems.append(f"'{name}' has no codes, as the settings say it has")
    problems += _dense(stored, model, coded, whole)
    if problems:
        rest = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(f"{folder}: {'; '.join(problems[:_SHOWN])}{rest}")
    bits = [schemes[name]["weights"]["num_bits"] for name in coded]
    dense = sum(entry.role == "dense" for entry in stored.tensors.values())
    return Checked(len(coded), dense, {b: bits.count(b) for b in sorted(set(bits))}, stored.total)


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder in which a file may run code when it is loaded.

    Raises:
        InputError: names the file.
    """
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in _PICKLES:
            raise InputError(
                "a checkpoint must hold no pickle: loading one can run code",
                got=file.relative_to(folder).as_posix(),
                hint="Remove it, or save the model as safetensors",
            )


def _settings(folder: Path) -> dict[str, Any]:
    config = artifacts.read_json(folder / "config.json")
    found = config.get("quantization_config") if isinstance(config, dict) else None
    method = found.get("quant_method") if isinstance(found, dict) else None
    if method != "compressed-tensors":
        raise InputError(f"{folder}: config.json must say that it is compressed-tensors",
                         got=method)  # fmt: skip
    groups = found.get("config_groups")
    if not (isinstance(groups, dict) and groups and all(map(_sound, groups.values()))):
        raise InputError(
            f"{folder}: quantization_config must have groups of layers, each with its targets and "
            "the bits of its weights",
            got=groups,
        )
    return found


def _sound(group: Any) -> bool:
    return (
        isinstance(group, dict)
        and isinstance(group.get("targets"), list)
        and isinstance(group.get("weights"), dict)
        and isinstance(group["weights"].get("num_bits"), int)
    )


def _model(folder: Path) -> nn.Module:
    """The architecture on the meta device."""
    config = pretrained.read_config(pretrained.Pretrained(str(folder), folder, ""))
    kind = pretrained.saved_class(config)
    del config.quantization_config
    return on_meta(lambda: kind(config))


def _as_in(model: nn.Module, stored: sizes.Sizes) -> tuple[sizes.Sizes, dict[str, str], bool]:
    """Tensors by the model's names, the file's name of each, and whether one makes one.

    Some architectures are saved under older names, or make a tensor of several on loading; of
    those, nothing can be said to be missing.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, apply_renamings

    changes = get_model_conversion_mapping(model, add_legacy=False)  # type: ignore[arg-type]
    renamings = [change for change in changes if isinstance(change, WeightRenaming)]
    written = {apply_renamings(name, renamings): name for name in stored.tensors}
    tensors = {name: stored.tensors[file_name] for name, file_name in written.items()}
    return sizes.Sizes(tensors, stored.files), written, len(renamings) == len(changes)


def _scheme(settings: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The group that a layer belongs to, with its format; its own name goes before the class."""
    if any(_names(pattern, name) for pattern in settings.get("ignore") or ()):
        return None
    groups = list(settings["config_groups"].values())
    for matches in (lambda target: _names(target, name), lambda target: target == "Linear"):
        for group in groups:
            if any(map(matches, group["targets"])):
                return {"format": settings.get("format"), **_given(group)}
    return None


def _given(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if value is not None}


def _names(pattern: str, name: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), name) is not None
    return pattern == name


def _layer(
    stored: sizes.Sizes,
    written: Mapping[str, str],
    name: str,
    scheme: Mapping[str, Any],
    shape: tuple[int, ...] | None,
) -> Iterator[str]:
    """What is wrong with a layer's tensors; ``shape`` is the model's, ``None`` if unknown."""
    weights, form = scheme["weights"], scheme["format"]
    bits = weights["num_bits"]
    if not weights.get("symmetric", True):
        yield f"'{name}' has zero points, which transformers does not read"
        return
    if form == "pack-quantized":
        told = stored.tensors.get(f"{name}.weight_shape")
        if told is None:
            yield f"'{name}' must have weight_shape"
            return
        original = _integers(told.file, written[f"{name}.weight_shape"])
        packed = (original[0], math.ceil(original[-1] * bits / 32))
        yield from _tensor(stored, f"{name}.weight_packed", packed, {"I32"})
    elif form in _CODES:
        original = stored.tensors[f"{name}.weight"].shape
        yield from _tensor(stored, f"{name}.weight", original, {_CODES[form]})
    else:
        yield f"'{name}' has the format {form!r}, of which nothing is known here"
        return
    if shape is not None and original != shape:
        yield f"'{name}' is stored for a weight of shape {original}, the model's has {shape}"
        return
    strategy, group = weights.get("strategy"), weights.get("group_size")
    if strategy == "group" and (not group or original[1] % group):
        yield f"'{name}' has {original[1]} inputs, not a multiple of its group {group}"
        return
    scales = {
        "tensor": (1,),
        "channel": (original[0], 1),
        "group": (original[0], original[1] // (group or original[1])),
    }
    if strategy not in scales:
        yield f"'{name}' has the strategy {strategy!r}, of which nothing is known here"
        return
    yield from _tensor(stored, f"{name}.weight_scale", scales[strategy], _FLOATS)


def _tensor(
    stored: sizes.Sizes, name: str, shape: tuple[int, ...], types: set[str]
) -> Iterator[str]:
    entry = stored.tensors.get(name)
    if entry is None:
        yield f"'{name}' is missing"
    elif entry.shape != shape or entry.dtype not in types:
        wanted = " or ".join(sorted(types))
        yield f"'{name}' is {entry.dtype} {entry.shape} instead of {wanted} {shape}"


def _integers(file: Path, name: str) -> tuple[int, ...]:
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        return tuple(int(value) for value in tensors.get_tensor(name))


def _dense(stored: sizes.Sizes, model: nn.Module, coded: set[str], whole: bool) -> Iterator[str]:
    """What is wrong with tensors that have no codes; ``whole`` if missing ones can be told."""
    for name, parameter in model.named_parameters():
        layer, _, last = name.rpartition(".")
        if layer in coded and last == "weight":
            continue
        entry = stored.tensors.get(name)
        if entry is None and whole:
            yield f"'{name}' is missing"
        elif entry is not None and entry.shape != tuple(parameter.shape):
            yield f"'{name}' has the shape {entry.shape}, the model's {tuple(parameter.shape)}"
