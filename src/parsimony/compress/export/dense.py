"""No codes on the disk: every weight in the model's own type, on the grid's values all the same."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from parsimony.compress.export.format import AnyCodes, Format
from parsimony.compress.grid import Codes
from parsimony.core.errors import InputError


class Dense(Format):
    """What every other format leaves: a model without codes, and layers no format has codes for."""

    name = "dense"

    @classmethod
    def holds(cls, codes: AnyCodes, layer: nn.Module) -> bool:
        """Integer codes of GPT-2's ``Conv1D``, which stores its weight transposed."""
        return isinstance(codes, Codes) and not isinstance(layer, nn.Linear)

    def check(self) -> None:
        """Refuse activations in bits: nothing in the folder would say so."""
        if self.activations is not None:
            raise InputError(
                "a dense checkpoint cannot say that activations are quantized",
                got=self.activations,
                hint="Leave activations in float for this model",
            )

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The weight that the layer has."""
        return {"weight": cast(Tensor, self.layers[name].weight)}

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """None."""
        return {}

    def weight(self, layer: nn.Module) -> Tensor:
        """The weight, as (outputs, inputs)."""
        weight = cast(Tensor, layer.weight)
        return weight if isinstance(layer, nn.Linear) else weight.T
