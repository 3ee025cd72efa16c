"""TiDE: a window through residual blocks of dense layers, with a linear map around them.

Das et al., Long-term Forecasting with TiDE (arXiv 2304.08424), without its covariates, which a
table of demand does not have. Shared by all series. The window is taken less its last value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn

WIDTH, DROPOUT = 32, 0.1


class TiDE(Network):
    """An encoder and a decoder block of ``WIDTH``, and the linear map around both."""

    name: ClassVar[str] = "tide"

    def build(self) -> nn.Module:
        """The module."""
        torch = require("torch", "estimate")
        nn = torch.nn

        class Residual(nn.Module):
            """Dense, ReLU, dense, dropout; plus a linear map; normalised."""

            def __init__(self, ins: int, outs: int) -> None:
                super().__init__()
                self.dense = nn.Sequential(
                    nn.Linear(ins, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outs), nn.Dropout(DROPOUT)
                )
                self.around = nn.Linear(ins, outs)
                self.norm = nn.LayerNorm(outs)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, ins) to (rows, outs)."""
                return self.norm(self.dense(x) + self.around(x))

        class Encoded(nn.Module):
            """Encoder, decoder, head; the window's own linear map beside them."""

            def __init__(self, context: int, horizon: int) -> None:
                super().__init__()
                self.blocks = nn.Sequential(
                    Residual(context, WIDTH), Residual(WIDTH, WIDTH), nn.Linear(WIDTH, horizon)
                )
                self.around = nn.Linear(context, horizon)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                last = x[:, -1:]
                return last + self.blocks(x - last) + self.around(x - last)

        return Encoded(self.context, self.horizon)
