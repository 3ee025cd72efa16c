"""NLinear: one linear map of the window less its last value, which is added again.

Zeng et al. (arXiv 2205.13504). Shared by all series; trained by steps, where ``ridge`` is the same
map without intercept in closed form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn


class NLinear(Network):
    """(context + 1) x horizon weights."""

    name: ClassVar[str] = "nlinear"

    def build(self) -> nn.Module:
        """The module."""
        torch = require("torch", "estimate")

        class FromLast(torch.nn.Module):
            """A linear map around the last value."""

            def __init__(self, context: int, horizon: int) -> None:
                super().__init__()
                self.map = torch.nn.Linear(context, horizon)
                torch.nn.init.zeros_(self.map.weight)  # the start is the naive forecast
                torch.nn.init.zeros_(self.map.bias)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                return x[:, -1:] + self.map(x - x[:, -1:])

        return FromLast(self.context, self.horizon)
