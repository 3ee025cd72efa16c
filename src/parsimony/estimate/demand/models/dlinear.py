"""DLinear: trend and remainder of the window, each through one linear map, summed.

Zeng et al., Are Transformers Effective for Time Series Forecasting? (arXiv 2205.13504). The trend
is a moving average of 25 months whose edges repeat the ends, as published, although a window has 6:
each value of it is an average with the ends weighted most. Shared by all series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn

KERNEL = 25


class DLinear(Network):
    """2 (context + 1) x horizon weights."""

    name: ClassVar[str] = "dlinear"

    def build(self) -> nn.Module:
        """The module."""
        torch = require("torch", "estimate")
        nn = torch.nn

        class Decomposed(nn.Module):
            """Moving average, and what it leaves."""

            def __init__(self, context: int, horizon: int) -> None:
                super().__init__()
                self.trend = nn.Linear(context, horizon)
                self.remainder = nn.Linear(context, horizon)
                for map_ in (self.trend, self.remainder):  # the published start: an average
                    nn.init.constant_(map_.weight, 1 / context)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                half = KERNEL // 2
                ends = nn.functional.pad(x[:, None], (half, half), mode="replicate")
                trend = nn.functional.avg_pool1d(ends, KERNEL, 1)[:, 0]
                return self.trend(trend) + self.remainder(x - trend)

        return Decomposed(self.context, self.horizon)
