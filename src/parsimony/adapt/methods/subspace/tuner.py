"""The subspace as a peft tuner: the weights of the target layers move by P v."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from parsimony.adapt.methods.subspace.projections import check_dimension, known, projection
from parsimony.core.errors import InputError
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    register,
    weight_shape,
)


@dataclass
class SubspaceConfig(AdapterConfig):
    """One trained vector for the weights of all target layers; biases stay frozen.

    Attributes:
        d: its length, 1 to the number of weights it moves.
        projection: ``"sparse"``, ``"fastfood"``, ``"dense"`` or ``"orthonormal"``. On 12 layers
            of 384 x 384 and one CPU core, sparse was the fastest for d up to about 2000; above,
            fastfood, whose cost does not grow with d.
        seed: of P.
        layers: number of weights of each layer, by path, on which P was drawn; filled when the
            adapter is put into its first model, and no other model is accepted after.
    """

    kind: ClassVar[str] = "SUBSPACE"

    d: int = 100
    projection: str = "sparse"
    seed: int = 0
    layers: dict[str, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known(self.projection)


class SubspaceLayer(AdapterLayer):
    """W + sqrt(m / D) P_l v for a layer of m of the D weights, P_l with columns of length one.

    The squares of the layers' shares add up to one, so each column of the whole P has length one,
    and where those of every P_l are orthonormal, those of P are.
    """

    other_param_names = (*AdapterLayer.other_param_names, "slices")
    kinds = ("Linear", "Conv1D", "Conv1d", "Conv2d", "Conv3d")

    def __init__(self, base_layer: nn.Module, path: str, shared: dict[str, Any]) -> None:
        super().__init__(base_layer, path, shared)
        self.slices = nn.ModuleDict()

    @classmethod
    def check(cls, config: SubspaceConfig, path: str, layer: nn.Module) -> None:
        entries = math.prod(weight_shape(layer))
        if config.projection == "orthonormal" and config.d > entries:
            raise InputError(
                f"d must be at most {entries}, the weights of {path}, for orthonormal columns in "
                "every layer",
                got=config.d,
                hint="Lower d, or choose another projection",
            )

    def create(self, adapter: str, config: SubspaceConfig) -> dict[str, Any]:
        self.slices[adapter] = projection(
            config.projection, [math.prod(self.shape)], config.d, config.seed, self.path
        )
        return {}

    def delta(self, adapter: str) -> torch.Tensor:
        layers = self.settings[adapter].layers
        share = math.prod(self.shape) / sum(layers.values())
        moved = self.slices[adapter](self.shared["subspace_v"][adapter])
        return math.sqrt(share) * moved.view(self.shape)

    def _cast(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        return self._cast_input_dtype(x, self.shared["subspace_v"][adapter].dtype)


@register(SubspaceConfig)
class SubspaceModel(AdapterTuner):
    """Puts the layers into a model, and keeps the v that they share."""

    tuner_layer_cls = SubspaceLayer
    shared_names = ("subspace_v",)

    def check_together(self, config: SubspaceConfig, targets: dict[str, nn.Module]) -> None:
        found = {path: math.prod(weight_shape(layer)) for path, layer in targets.items()}
        total = sum(found.values())
        if config.layers is not None and config.layers != found:
            raise InputError(
                f"the adapter moves D = {sum(config.layers.values())} weights of "
                f"{len(config.layers)} layers, and this model has D = {total} in {len(found)} "
                "layers under the names it looks for",
                hint="Load it into the model it was trained on",
            )
        check_dimension(config.d, total)
        config.layers = found

    def create_shared(
        self, config: SubspaceConfig, targets: dict[str, nn.Module]
    ) -> dict[str, torch.Tensor]:
        weight: Any = next(iter(targets.values())).weight
        # The sum W + P v would lose small steps in half precision.
        wide = weight.dtype if weight.dtype == torch.float64 else torch.float32
        return {"subspace_v": torch.zeros(config.d, dtype=wide, device=weight.device)}
