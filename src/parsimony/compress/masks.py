"""Keep-masks of pruned weights: stored beside the model, never read off its zeros again.

A kept weight may be zero, and training must not lose it. A mask is a bool tensor shaped like the
parameter it belongs to, by the parameter's name. On disk a mask takes one bit per weight.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError

NAME = "masks/keep.safetensors"
"""Not beside the weights, where serving engines read every safetensors file."""
Masks = Mapping[str, Tensor]


def check(model: nn.Module, masks: Masks) -> None:
    """Refuse masks of another model.

    Raises:
        InputError: with the mask that has no parameter of its shape.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    for name, mask in masks.items():
        if shapes.get(name) != tuple(mask.shape):
            raise InputError(
                f"the mask of {name} must have the shape of the model's parameter of that name",
                got=f"{tuple(mask.shape)} for {shapes.get(name, 'no such parameter')}",
                hint="Use the masks that were stored with this model",
            )


@torch.no_grad()
def apply(model: nn.Module, masks: Masks) -> None:
    """Set every removed weight to exactly zero, in place."""
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        parameter.masked_fill_(~mask.to(parameter.device), 0)


def intact(model: nn.Module, masks: Masks) -> bool:
    """Whether every removed weight is exactly zero."""
    return all(
        not model.get_parameter(name).detach()[~mask.to(model.get_parameter(name).device)].any()
        for name, mask in masks.items()
    )


def sparsity(masks: Masks) -> float:
    """Share of the masked matrices' weights that are removed; 0 without masks."""
    total = sum(mask.numel() for mask in masks.values())
    return sum(int((~mask).sum()) for mask in masks.values()) / total if total else 0.0


def follows(mask: Tensor, n: int, m: int) -> bool:
    """Whether of every ``m`` consecutive entries of a row at least ``n`` are removed."""
    return bool(((~mask).reshape(mask.shape[0], -1, m).sum(-1) >= n).all())


def save(masks: Masks, folder: Path) -> None:
    """Write ``masks/keep.safetensors`` in ``folder``, one bit per weight."""
    from safetensors.numpy import save as to_bytes

    packed = {name: np.packbits(mask.cpu().numpy().reshape(-1)) for name, mask in masks.items()}
    shapes = json.dumps({name: list(mask.shape) for name, mask in masks.items()}, sort_keys=True)
    artifacts.write_bytes(folder / NAME, to_bytes(packed, {"shapes": shapes}))


def load(folder: Path) -> dict[str, Tensor]:
    """Read what ``save`` wrote; empty where a folder has no masks.

    Raises:
        ArtifactError: a file that is not ours.
    """
    from safetensors import SafetensorError, safe_open

    file = folder / NAME
    if not file.is_file():
        return {}
    try:
        with safe_open(file, "numpy") as opened:
            shapes = json.loads((opened.metadata() or {})["shapes"])
            return {
                name: torch.from_numpy(
                    np.unpackbits(opened.get_tensor(name), count=int(np.prod(shape)))
                    .astype(bool)
                    .reshape(shape)
                )
                for name, shape in shapes.items()
            }
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{file} must hold masks that parsimony wrote ({error})") from None
