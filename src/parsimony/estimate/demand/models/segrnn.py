"""SegRNN: a recurrent net over segments of the window, and one step for each segment to come.

Lin et al., SegRNN (arXiv 2308.11200). A segment has 3 months, as in the benchmark; the last value
is taken off and added again; the segments to come are decoded side by side from their places.
Shared by all series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import InputError, require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn

WIDTH, SEGMENT, DROPOUT = 64, 3, 0.1


class SegRNN(Network):
    """A GRU over segments of ``SEGMENT`` months; context and horizon are multiples of that."""

    name: ClassVar[str] = "segrnn"

    def build(self) -> nn.Module:
        """The module."""
        if self.context % SEGMENT or self.horizon % SEGMENT:
            raise InputError(f"segrnn needs a context and horizon that are multiples of {SEGMENT}",
                             got=(self.context, self.horizon))  # fmt: skip
        torch = require("torch", "estimate")
        nn = torch.nn

        class Segmented(nn.Module):
            """Segments in, segments out."""

            def __init__(self, horizon: int) -> None:
                super().__init__()
                self.embed = nn.Sequential(nn.Linear(SEGMENT, WIDTH), nn.ReLU())
                self.net = nn.GRU(WIDTH, WIDTH, batch_first=True)
                self.place = nn.Parameter(0.1 * torch.randn(horizon // SEGMENT, WIDTH))
                self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(WIDTH, SEGMENT))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                last = x[:, -1:]
                _, state = self.net(self.embed((x - last).unflatten(1, (-1, SEGMENT))))
                count = len(self.place)
                asked = self.place.repeat(len(x), 1)[:, None]  # (rows * segments, 1, width)
                out, _ = self.net(asked, state.repeat_interleave(count, dim=1))
                return last + self.head(out[:, 0]).reshape(len(x), -1)

        return Segmented(self.horizon)
