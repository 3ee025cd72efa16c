"""What the inputs of a layer tell a method: norms, second moments, ranges."""

from __future__ import annotations

import torch
from torch import Tensor

from parsimony.compress.walk import Statistic


class Norms(Statistic):
    """Mean square of every input feature, [width], float64 sums."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.squares = torch.zeros(width, dtype=torch.float64)

    def take(self, inputs: Tensor) -> None:
        self.squares += inputs.double().square().sum(0).cpu()

    @property
    def norms(self) -> Tensor:
        """Root of the mean square, [width], float32."""
        return (self.squares / max(1, self.tokens)).sqrt().float()


class Magnitudes(Statistic):
    """Mean and largest |x| of every input feature."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._sum = torch.zeros(width, dtype=torch.float64)
        self.peaks = torch.zeros(width)
        """[width], float32."""

    def take(self, inputs: Tensor) -> None:
        sizes = inputs.abs().float()
        self._sum += sizes.double().sum(0).cpu()
        self.peaks = torch.maximum(self.peaks, sizes.amax(0).cpu())

    @property
    def means(self) -> Tensor:
        """[width], float32."""
        return (self._sum / max(1, self.tokens)).float()


class Hessian(Statistic):
    """Twice the mean of x x^T over tokens: the curvature of the squared error of a layer.

    Sums are in float32, batch by batch.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._sum: Tensor | None = None

    def take(self, inputs: Tensor) -> None:
        x = inputs.float()
        if self._sum is None:
            self._sum = torch.zeros(self.width, self.width, device=x.device)
        self._sum.addmm_(x.T, x)

    @property
    def matrix(self) -> Tensor:
        """H, [width, width]."""
        if self._sum is None:
            return torch.zeros(self.width, self.width)
        return self._sum * (2 / self.tokens)
