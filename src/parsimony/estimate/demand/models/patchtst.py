"""PatchTST: the window cut into patches, which a Transformer encoder reads as tokens.

Nie et al., A Time Series is Worth 64 Words (arXiv 2211.14730). The benchmark's patch of 14 months
with stride 8 makes exactly one token of a window of 6, padded, so attention has nothing to attend
to. Here the patch is scaled to the window: half of it, with a stride of 1 (3/1 for 6 months, 4
tokens). Each window is normalised by its own mean and deviation, as published. Shared by all
series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn

WIDTH, HEADS, LAYERS, DROPOUT = 32, 4, 2, 0.1


class PatchTST(Network):
    """An encoder of ``LAYERS`` layers, ``WIDTH`` wide; the head reads all tokens at once."""

    name: ClassVar[str] = "patchtst"

    def build(self) -> nn.Module:
        """The module."""
        torch = require("torch", "estimate")
        nn = torch.nn

        class Patched(nn.Module):
            """Patches, places, encoder, head."""

            def __init__(self, context: int, horizon: int) -> None:
                super().__init__()
                self.patch = max(1, context // 2)
                tokens = context - self.patch + 1
                self.embed = nn.Linear(self.patch, WIDTH)
                self.place = nn.Parameter(0.02 * torch.randn(tokens, WIDTH))
                layer = nn.TransformerEncoderLayer(
                    WIDTH, HEADS, 2 * WIDTH, DROPOUT, "gelu", batch_first=True
                )
                self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
                self.head = nn.Linear(tokens * WIDTH, horizon)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                mean, sd = x.mean(1, keepdim=True), x.std(1, keepdim=True, unbiased=False) + 1e-3
                tokens = self.embed(((x - mean) / sd).unfold(1, self.patch, 1)) + self.place
                return self.head(self.encoder(tokens).flatten(1)) * sd + mean

        return Patched(self.context, self.horizon)
