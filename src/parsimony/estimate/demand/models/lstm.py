"""LSTM: two recurrent layers read the window month by month, a linear map makes the forecast.

Hochreiter and Schmidhuber (1997), in the benchmark's size of 2 x 256, shared by all series. The
last value is taken off and added again, without which a net of this size learns the level first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn

WIDTH, LAYERS = 256, 2


class LSTM(Network):
    """``LAYERS`` layers, ``WIDTH`` wide: 0.8 million weights, the largest forecaster here."""

    name: ClassVar[str] = "lstm"

    def build(self) -> nn.Module:
        """The module."""
        torch = require("torch", "estimate")
        nn = torch.nn

        class Recurrent(nn.Module):
            """A month at a time."""

            def __init__(self, horizon: int) -> None:
                super().__init__()
                self.net = nn.LSTM(1, WIDTH, LAYERS, batch_first=True)
                self.head = nn.Linear(WIDTH, horizon)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                last = x[:, -1:]
                out, _ = self.net((x - last)[..., None])
                return last + self.head(out[:, -1])

        return Recurrent(self.horizon)
