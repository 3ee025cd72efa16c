"""Fourier: a complex linear map from the window's spectrum to that of window and forecast together.

After FITS (Xu, Zeng and Xu, arXiv 2307.03756), which stands here for the benchmark's Fourier family
(FiLM, Koopa): the same mechanism in a few dozen weights. The window is taken less its last value.
Shared by all series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from parsimony.core.errors import require
from parsimony.estimate.demand.learning import Network

if TYPE_CHECKING:
    from torch import nn


class Fourier(Network):
    """(context / 2 + 1) x ((context + horizon) / 2 + 1) complex weights."""

    name: ClassVar[str] = "fourier"

    def build(self) -> nn.Module:
        """The module."""
        torch = require("torch", "estimate")

        class Spectral(torch.nn.Module):
            """Interpolation in the frequency domain."""

            def __init__(self, context: int, horizon: int) -> None:
                super().__init__()
                self.horizon, self.length = horizon, context + horizon
                ins, outs = context // 2 + 1, self.length // 2 + 1
                # Real and imaginary parts side by side: a spectrum is read as real numbers.
                self.map = torch.nn.Parameter(torch.randn(2, ins, outs) / ins)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                """(rows, context) to (rows, horizon)."""
                last = x[:, -1:]
                spectrum = torch.fft.rfft(x - last) @ torch.complex(*self.map)
                return last + torch.fft.irfft(spectrum, n=self.length)[:, -self.horizon :]

        return Spectral(self.context, self.horizon)
