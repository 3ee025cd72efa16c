"""FLoRA: add to a weight of any number of axes a small trained core and one thin matrix per axis.

Si et al. 2024 (arXiv 2405.14739, section 3): dW = scale G x_1 U_1 ... x_N U_N, a Tucker form, for a
weight (d_1, ..., d_N) with G (r_1, ..., r_N), zero at the start, and U_i (d_i, r_i). A kernel
keeps its own axes instead of being flattened to a matrix. d_i r_i summed, plus the product of all
r_i, parameters. Neither "Flora", which compresses gradients, nor the federated method of this name.

What is ours: axes and ranks in torch's order, outputs first (the authors' code: inputs first);
the cheap forward, where the input passes r_in and r_out channels and dW is never formed; groups and
depthwise kernels, where the second axis has in / groups entries and dW is formed; merging; and
``tucker_extract``, which turns a given update into this form.

Not adapted: transposed convolutions, whose axes lie otherwise.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd
import peft
import torch
from torch import nn
from torch.nn import functional

from parsimony.adapt.method import Facts, LowRank
from parsimony.core.errors import InputError, nearest
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    by_pattern,
    register,
    weight_shape,
)

INITS = ("kaiming", "normal")

_KERNEL = {3: ("k",), 4: ("kh", "kw"), 5: ("kd", "kh", "kw")}


@dataclass
class FloraConfig(AdapterConfig):
    """FLoRA on the target layers.

    Attributes:
        r: a rank for each axis of the weight, in torch's order: outputs, inputs (rows and columns
            of an embedding), kernel axes. A number stands for both channel axes, and ``kernel``
            for the others.
        kernel: rank of the kernel axes where ``r`` is a number.
        rank_pattern: ``r`` of single layers, by the ending of their name or a pattern.
        scale: plain factor on the update, as in the authors' vision code.
        alpha: factor alpha / r instead, r being the larger channel rank asked for. Without either
            the factor is 4 on convolutions and 2 elsewhere; the thin matrices are of the size of
            one, so results depend on it strongly.
        init: of the thin matrices: ``"kaiming"``, N(0, 0.5 / r_i), as in the authors' vision code,
            or ``"normal"``, N(0, 0.02^2), as in their language code.
        strict: refuse a rank larger than its axis instead of lowering it.
    """

    kind: ClassVar[str] = "FLORA"

    r: int | list[int] = 8
    kernel: int = 2
    rank_pattern: dict[str, int | list[int]] = field(default_factory=dict)
    scale: float | None = None
    alpha: float | None = None
    init: str = "kaiming"
    strict: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init not in INITS:
            raise InputError(
                f"init must be {' or '.join(INITS)}", got=self.init, hint=nearest(self.init, INITS)
            )
        if self.scale is not None and self.alpha is not None:
            raise InputError(
                "scale and alpha exclude each other", got=(self.scale, self.alpha),
                hint="scale is the whole factor, alpha is divided by r",
            )  # fmt: skip
        for ranks in (self.r, self.kernel, *self.rank_pattern.values()):
            for rank in [ranks] if isinstance(ranks, int) else ranks:
                if not isinstance(rank, int) or rank < 1:
                    raise InputError("a rank must be a whole number of at least 1", got=rank)

    def asked(self, path: str, axes: int) -> list[int]:
        """Ranks as asked for of a weight with so many axes; the layer is called ``path``."""
        given = by_pattern(self.rank_pattern, path, self.r)
        return [given] * 2 + [self.kernel] * (axes - 2) if isinstance(given, int) else list(given)

    def ranks(self, path: str, shape: Sequence[int]) -> list[int]:
        """Ranks of a weight of this shape, none larger than its axis."""
        return [min(pair) for pair in zip(self.asked(path, len(shape)), shape, strict=True)]


class FloraLayer(AdapterLayer):
    """A layer with a core G and thin matrices U1, U2, ... beside it, one per axis."""

    adapter_layer_names = ("flora_G", "flora_U1", "flora_U2", "flora_U3", "flora_U4", "flora_U5")
    kinds = ("Linear", "Conv1D", "Conv1d", "Conv2d", "Conv3d", "Embedding")

    @classmethod
    def check(cls, config: FloraConfig, path: str, layer: nn.Module) -> None:
        shape = weight_shape(layer)
        embedding = isinstance(layer, nn.Embedding)
        names = ("rows", "columns") if embedding else ("outputs", "inputs")
        names += _KERNEL.get(len(shape), ())
        asked = config.asked(path, len(shape))
        if len(asked) != len(shape):
            raise InputError(
                f"{path} ({type(layer).__name__}) takes {len(shape)} ranks: {', '.join(names)}",
                got=asked, hint="Give it its own in rank_pattern, or one number for r",
            )  # fmt: skip
        if isinstance(layer, nn.Embedding) and (config.dropout or layer.max_norm is not None):
            raise InputError(
                f"{path}, an embedding, takes no dropout, since its input is an index, and must "
                "have no max_norm", got={"dropout": config.dropout, "max_norm": layer.max_norm},
                hint="Set dropout=0, or leave it out of target_modules",
            )  # fmt: skip

    def create(self, adapter: str, config: FloraConfig) -> dict[str, torch.Tensor]:
        ranks = config.ranks(self.path, self.shape)
        values = {"flora_G": torch.zeros(ranks)}
        for axis, (size, rank) in enumerate(zip(self.shape, ranks, strict=True), start=1):
            deviation = math.sqrt(0.5 / rank) if config.init == "kaiming" else 0.02
            values[f"flora_U{axis}"] = deviation * torch.randn(size, rank)
        return values

    def scale(self, config: FloraConfig) -> float:
        if config.alpha is not None:
            return config.alpha / max(config.asked(self.path, len(self.shape))[:2])
        if config.scale is not None:
            return config.scale
        return 4.0 if len(self.shape) > 2 else 2.0

    def thin(self, adapter: str) -> list[torch.Tensor]:
        """U1, U2, ... of one adapter."""
        return [getattr(self, f"flora_U{n}")[adapter] for n in range(1, len(self.shape) + 1)]

    def delta(self, adapter: str) -> torch.Tensor:
        return multiply(self.flora_G[adapter], self.thin(adapter))

    def update(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        if getattr(self.get_base_layer(), "groups", 1) > 1:
            return self.apply_weight(x, self.delta(adapter))
        core, (first, second, *kernel) = self.flora_G[adapter], self.thin(adapter)
        if isinstance(self.get_base_layer(), nn.Embedding):
            rows = self.apply_weight(x, first)
            return functional.linear(functional.linear(rows, core.T), second)
        if not kernel:
            return functional.linear(functional.linear(functional.linear(x, second.T), core), first)
        # Padding of any mode copies values or zeros, so it may come after the map of channels.
        pointwise = getattr(functional, f"conv{len(kernel)}d")
        ones = [1] * len(kernel)
        narrow = pointwise(x, second.T.reshape(*second.T.shape, *ones))
        inner = self.apply_weight(narrow, multiply(core, [None, None, *kernel]))
        widened: torch.Tensor = pointwise(inner, first.reshape(*first.shape, *ones))
        return widened


def multiply(core: torch.Tensor, thin: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """core x_1 U_1 ... x_N U_N: every axis of the core times its matrix (d_i, r_i).

    Args:
        core: shape (r_1, ..., r_N).
        thin: one matrix per axis; ``None`` leaves the axis as it is.

    Returns:
        Shape (d_1, ..., d_N).
    """
    for axis, matrix in enumerate(thin):
        if matrix is not None:
            core = torch.tensordot(core, matrix, dims=([axis], [1])).movedim(-1, axis)
    return core


@register(FloraConfig)
class FloraModel(AdapterTuner):
    """peft's tuner of ``FloraConfig``."""

    tuner_layer_cls = FloraLayer

    def check_together(self, config: FloraConfig, targets: dict[str, nn.Module]) -> None:
        """Tell of all ranks larger than their axis at once.

        Raises:
            InputError: there are such, and the configuration is strict.
        """
        lowered = []
        for path, layer in targets.items():
            shape = weight_shape(layer)
            asked, found = config.asked(path, len(shape)), config.ranks(path, shape)
            if asked != found:
                lowered.append(f"{path} {asked} to {found}")
        if not lowered:
            return
        if config.strict:
            raise InputError(
                "a rank may not be larger than its axis",
                got=f"ranks that would be lowered: {'; '.join(lowered)}",
                hint="Give these layers their own in rank_pattern, or set strict=False",
            )
        more = f" and {len(lowered) - 3} more" if len(lowered) > 3 else ""
        warnings.warn(
            f"ranks larger than their axis are lowered: {'; '.join(lowered[:3])}{more}. A thin "
            "matrix as wide as its axis adds parameters and no freedom",
            stacklevel=2,
        )


def tucker_extract(
    delta: torch.Tensor, r: Sequence[int]
) -> tuple[torch.Tensor, list[torch.Tensor], float]:
    """Core and thin matrices of a given update, by the singular vectors of its unfoldings (HOSVD).

    Exact where the ranks reach those of the unfoldings; otherwise within a factor sqrt(N) of the
    best (De Lathauwer, De Moor, Vandewalle 2000, property 10).

    Args:
        delta: N axes.
        r: N ranks, each 1 to the size of its axis.

    Returns:
        The core, shape ``r``; matrices (d_i, r_i) with orthonormal columns; and the error
        |delta - approximation| / |delta|, in [0, 1], zero for a zero update.

    Raises:
        InputError: ranks that do not fit; a value that is not finite.
    """
    fits = len(r) == delta.ndim and all(1 <= k <= d for k, d in zip(r, delta.shape, strict=False))
    if not fits:
        raise InputError(
            f"an update of shape {tuple(delta.shape)} takes a rank from 1 to the size of each axis",
            got=list(r),
        )
    if not torch.isfinite(delta).all():
        raise InputError("an update must be finite to be decomposed")
    wide = delta.double()
    thin = []
    for axis, rank in enumerate(r):
        unfolded = wide.movedim(axis, 0).flatten(1)
        thin.append(torch.linalg.svd(unfolded, full_matrices=False).U[:, :rank])
    core = multiply(wide, [u.T for u in thin])
    norm = wide.norm().item()
    error = (wide - multiply(core, thin)).norm().item() / norm if norm else 0.0
    return core.to(delta.dtype), [u.to(delta.dtype) for u in thin], error


def extract(adapted: nn.Module, tuned: nn.Module, *, adapter: str = "default") -> pd.DataFrame:
    """Set a FLoRA adapter to what full fine-tuning changed, as well as its ranks allow.

    Args:
        adapted: the model before fine-tuning, with FLoRA on it; changed in place.
        tuned: the same model after it.
        adapter: which.

    Returns:
        One row per layer: ``layer``, ``ranks``, ``error`` (see ``tucker_extract``).

    Raises:
        InputError: no layer of that adapter; a layer of which ``tuned`` has another shape.
    """
    rows = []
    for layer in adapted.modules():
        if not (isinstance(layer, FloraLayer) and adapter in layer.settings):
            continue
        twin = tuned.get_submodule(layer.path)
        if weight_shape(twin) != layer.shape:
            raise InputError(
                f"{layer.path} of the tuned model must have the shape {layer.shape}",
                got=weight_shape(twin),
            )
        change = twin.weight.detach() - layer.get_base_weight().detach()
        ranks = list(layer.flora_G[adapter].shape)
        core, thin, error = tucker_extract(layer._outputs_first(change), ranks)
        layer.flora_G[adapter].data.copy_(core / layer.scaling[adapter])
        for ours, found in zip(layer.thin(adapter), thin, strict=True):
            ours.data.copy_(found)
        rows.append((layer.path, ranks, error))
    if not rows:
        raise InputError("the model has no FLoRA adapter of that name", got=adapter)
    return pd.DataFrame(rows, columns=["layer", "ranks", "error"])


class Flora(LowRank):
    """A full r x r core between two thin matrices on every target."""

    name = "flora"
    source = "arXiv 2405.14739"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return FloraConfig(
            task_type=facts.task_type, r=size, dropout=dropout, target_modules=facts.targets()
        )
