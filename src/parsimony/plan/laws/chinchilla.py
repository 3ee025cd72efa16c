"""The Chinchilla law: loss from parameters and tokens, and the split of compute that follows.

``L(N, D) = E + A / N^alpha + B / D^beta`` (Hoffmann et al. 2022, arXiv 2203.15556), fitted as Epoch
AI did (Besiroglu et al. 2024, arXiv 2404.10102): the sum over runs of the Huber loss, delta 1e-3,
of the log residual, over a = log A, b = log B, e = log E, alpha and beta.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.errors import InputError
from parsimony.core.fitting import Fit, PowerSum
from parsimony.core.fitting.law import Array, Columns
from parsimony.plan.losses import LossLaw, floor_refusal

if TYPE_CHECKING:
    import pandas as pd

_SOURCE = "Hoffmann et al. 2022, arXiv 2203.15556"


class Chinchilla(LossLaw, PowerSum):
    """Exponents of their own for parameters and tokens."""

    name = "chinchilla"
    formula = "L = E + A / N^alpha + B / D^beta"
    source = _SOURCE
    columns = ("N", "D")
    parameters = ("a", "b", "e", "alpha", "beta")
    positive = ("alpha", "beta")
    terms = (("a", {"N": "alpha"}), ("b", {"D": "beta"}), ("e", {}))

    def starts(self, x: Columns, y: Array) -> Array:
        """72 of them: they reach the optimum on the data that Epoch read off."""
        offsets, exponents = (5.0, 10.0, 20.0), (0.3, 0.8)
        return np.array(list(itertools.product(offsets, offsets, (0.0, 0.6), exponents, exponents)))

    def refusal(self, theta: Array, y: Array) -> str:
        """An exponent below zero, or E above an observed loss."""
        return super().refusal(theta, y) or floor_refusal(theta[self.index("e")], y)


class ChinchillaTied(Chinchilla):
    """One exponent for both, which extrapolates better from few sizes."""

    name = "chinchilla-tied"
    formula = "L = E + A / N^alpha + B / D^alpha"
    parameters = ("a", "b", "e", "alpha")
    positive = ("alpha",)
    terms = (("a", {"N": "alpha"}), ("b", {"D": "alpha"}), ("e", {}))

    def starts(self, x: Columns, y: Array) -> Array:
        offsets = (5.0, 10.0, 20.0)
        return np.array(list(itertools.product(offsets, offsets, (0.0, 0.6), (0.3, 0.8))))


class ComputeFloor(LossLaw, PowerSum):
    """A power of compute above a floor, for runs on the compute-optimal path."""

    name = "compute-floor"
    formula = "L = E + K / C^gamma"
    source = _SOURCE
    columns = ("C",)
    parameters = ("k", "e", "gamma")
    positive = ("gamma",)
    terms = (("k", {"C": "gamma"}), ("e", {}))

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array(list(itertools.product((2.0, 5.0, 10.0), (0.0, 0.6), (0.05, 0.15, 0.4))))

    def refusal(self, theta: Array, y: Array) -> str:
        """An exponent below zero, or E above an observed loss."""
        return super().refusal(theta, y) or floor_refusal(theta[self.index("e")], y)


@dataclass(frozen=True)
class Constants:
    """The five constants: ``L = E + A / N^alpha + B / D^beta``, in nats per token."""

    A: float
    B: float
    E: float
    alpha: float
    beta: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Constants:
        """From those of a fit; the tied law has one exponent for both."""
        return cls(values["A"], values["B"], values["E"], values["alpha"],
                   values.get("beta", values["alpha"]))  # fmt: skip

    def loss(self, N: Array | float, D: Array | float) -> Array:
        """Nats per token of N parameters after D tokens."""
        n, d = np.asarray(N, float), np.asarray(D, float)
        return np.asarray(self.E + self.A * n**-self.alpha + self.B * d**-self.beta)

    def split(self, compute: float) -> Split:
        """The N and D of least loss among those with 6 N D = ``compute`` FLOPs.

        ``N = G (C/6)^a`` and ``D = (C/6)^(1-a) / G`` with ``a = beta / (alpha + beta)`` and
        ``G = (alpha A / (beta B))^(1 / (alpha + beta))``.

        Raises:
            InputError: compute is not positive.
        """
        if not compute > 0:
            raise InputError("compute must be a positive number of FLOPs", got=compute)
        total = self.alpha + self.beta
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
        size = scale * (compute / 6) ** (self.beta / total)
        tokens = compute / 6 / size
        return Split(size, tokens, float(self.loss(size, tokens)))

    def cheapest(self, loss: float) -> Split:
        """The N and D that reach ``loss`` with the least compute, 6 N D.

        There ``alpha A / N^alpha = beta B / D^beta``, so that of L - E the size leaves
        ``beta / (alpha + beta)`` and the tokens the rest.

        Raises:
            InputError: the loss is not above E.
        """
        if not loss > self.E:
            raise InputError(f"no model reaches a loss of E = {self.E:.4g} or less", got=loss)
        left = (loss - self.E) / (self.alpha + self.beta)
        size = (self.A / (self.beta * left)) ** (1 / self.alpha)
        tokens = (self.B / (self.alpha * left)) ** (1 / self.beta)
        return Split(size, tokens, loss)

    @property
    def share(self) -> float:
        """Exponent a of ``N_opt ~ C^a``."""
        return self.beta / (self.alpha + self.beta)


@dataclass(frozen=True)
class Split:
    """Parameters, tokens, and the loss in nats per token that they reach."""

    N: float
    D: float
    loss: float

    @property
    def ratio(self) -> float:
        """Tokens per parameter."""
        return self.D / self.N


PUBLISHED = Constants(406.4, 410.7, 1.69, 0.34, 0.28)
"""As Hoffmann et al. print them. Their fit stopped early; Epoch's is nearer the optimum."""

UNROUNDED = Constants(
    float(np.exp(6.0073404)), float(np.exp(6.0179186)), float(np.exp(0.5267228)), 0.33917084,
    0.2849083,
)  # fmt: skip
"""Those of Hoffmann et al., from the logarithms in their source."""

EPOCH = Constants(482.01, 2085.43, 1.8172, 0.3478, 0.3658)
"""Epoch AI's refit of 240 runs read off a figure (arXiv 2404.10102)."""


def epoch_runs(points: pd.DataFrame, dropped: int = 5) -> pd.DataFrame:
    """Epoch's table of points read off a figure as runs, without those of highest loss.

    Args:
        points: columns ``Model Size``, ``Training FLOP`` and ``loss``.
        dropped: how many are left out; the five have under 0.4 tokens per parameter.

    Returns:
        Columns N, D = C / (6 N) and loss.
    """
    size = points["Model Size"].astype(float)
    runs = points[["loss"]].assign(N=size, D=points["Training FLOP"].astype(float) / 6 / size)
    return runs.sort_values("loss").iloc[: len(runs) - dropped][["N", "D", "loss"]]


def splits(fit: Fit, compute: float) -> list[Split]:
    """The optimal split under each bootstrap of a fit."""
    shown = fit.law.constants(fit.draws)
    return [
        Constants.of({name: float(values[i]) for name, values in shown.items()}).split(compute)
        for i in range(len(fit.draws))
    ]
