"""What Kaplan's constants answer: loss curves at any batch size, steps, tokens, sizes, compute.

The loss after S steps of B tokens is the root L of
``(N_c/N)^alpha_N + (S_c (1 + B_crit(L)/B) / S)^alpha_S = L`` with
``B_crit(L) = B_star / L^(1/alpha_B)``. The left side falls as L rises, so there is one root.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from parsimony.core.errors import InputError
from parsimony.core.fitting.law import Array

HALVINGS = 60


@dataclass(frozen=True)
class Kaplan:
    """Constants of one setting; the loss is in nats per token.

    Attributes:
        N_c: parameters without embeddings at which the converged loss would be 1.
        alpha_N: exponent of the size.
        S_c: steps, of the infinite-batch curve.
        alpha_S: exponent of the steps.
        B_star: tokens; critical batch at a loss of 1.
        alpha_B: exponent of the critical batch.
    """

    N_c: float
    alpha_N: float
    S_c: float
    alpha_S: float
    B_star: float
    alpha_B: float

    def converged(self, N: ArrayLike) -> Array:
        """The loss that N parameters reach in the end."""
        return np.asarray((self.N_c / _positive("N", N)) ** self.alpha_N)

    def infinite_batch(self, N: ArrayLike, S_min: ArrayLike) -> Array:
        """Loss after S_min steps of a batch far above critical."""
        steps = (self.S_c / _positive("S_min", S_min)) ** self.alpha_S
        return np.asarray(self.converged(N) + steps)

    def critical_batch(self, loss: ArrayLike) -> Array:
        """Tokens per step at which steps and tokens are both twice their least; not of N."""
        return np.asarray(self.B_star / _positive("loss", loss) ** (1 / self.alpha_B))

    def loss(self, N: ArrayLike, S: ArrayLike, B: ArrayLike) -> Array:
        """Loss after S steps of B tokens each; the three are broadcast."""
        n, s, b = np.broadcast_arrays(*map(_positive, "NSB", (N, S, B)))
        floor = self.converged(n)

        def above(gap: Array) -> Array:
            """The term in S at the loss floor + gap; it falls as the gap grows."""
            slowed = 1 + self.critical_batch(floor + gap) / b
            return np.asarray((self.S_c * slowed / s) ** self.alpha_S)

        high = above(np.zeros(n.shape))
        low = above(high)
        for _ in range(HALVINGS):
            middle = np.sqrt(low * high)
            too_small = above(middle) > middle
            low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
        return np.asarray(floor + np.sqrt(low * high))

    def least_steps(self, N: ArrayLike, loss: ArrayLike) -> Array:
        """S_min: steps to a loss with a batch far above critical.

        Raises:
            InputError: N parameters cannot reach that loss; the least N that could is named.
        """
        size, target = np.broadcast_arrays(_positive("N", N), _positive("loss", loss))
        gap = target - self.converged(size)
        if (gap <= 0).any():
            worst = np.unravel_index(np.argmin(gap), gap.shape)
            low, given = float(target[worst]), float(size[worst])
            raise InputError(
                f"a loss of {low:.4g} is not reachable by N = {given:.4g}, which converges to "
                f"{float(self.converged(given)):.4g}",
                hint=f"It takes more than {float(self.smallest_size(low)):.4g} parameters",
            )
        return np.asarray(self.S_c / gap ** (1 / self.alpha_S))

    def steps(self, N: ArrayLike, loss: ArrayLike, B: ArrayLike) -> Array:
        """Steps of B tokens to a loss: S_min (1 + B_crit / B)."""
        slowed = 1 + self.critical_batch(loss) / _positive("B", B)
        return np.asarray(self.least_steps(N, loss) * slowed)

    def tokens(self, N: ArrayLike, loss: ArrayLike, B: ArrayLike) -> Array:
        """Tokens to a loss at B tokens a step: E_min (1 + B / B_crit), E_min = B_crit S_min."""
        return np.asarray(self.steps(N, loss, B) * _positive("B", B))

    def smallest_size(self, loss: ArrayLike) -> Array:
        """More parameters than this are needed for a loss."""
        return np.asarray(self.N_c / _positive("loss", loss) ** (1 / self.alpha_N))

    def compute(self, N: ArrayLike, loss: ArrayLike, B: ArrayLike) -> Array:
        """FLOPs to a loss, 6 N B S: without embeddings and attention."""
        return np.asarray(6.0 * _positive("N", N) * self.tokens(N, loss, B))

    def least_compute(self, N: ArrayLike, loss: ArrayLike, B: ArrayLike) -> Array:
        """C_min = C / (1 + B / B_crit): what a batch far below critical would take."""
        ratio = _positive("B", B) / self.critical_batch(loss)
        return np.asarray(self.compute(N, loss, B) / (1 + ratio))

    def with_size(self, N_c: float, alpha_N: float) -> Kaplan:
        """The same with other constants of the converged loss."""
        return replace(self, N_c=N_c, alpha_N=alpha_N)


KAPLAN = Kaplan(6.5e13, 0.077, 2.1e3, 0.76, 2.0e8, 0.21)
"""As printed with L(N, S) by Kaplan et al. 2020; their tokenizer and data."""

KAPLAN_CONVERGED = KAPLAN.with_size(8.8e13, 0.076)
"""With the constants that they print for L(N) alone."""

NANOGPT = Kaplan(3.81e13, 0.0823, 7.78e2, 0.5937, 2.20e7, 1 / 4.2627)
"""A public reproduction on models of up to 6.3M parameters."""


@dataclass(frozen=True)
class DataLimited:
    """``L = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D``: a fixed corpus of D tokens."""

    N_c: float
    D_c: float
    alpha_N: float
    alpha_D: float

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Nats per token of N parameters trained to the best on D tokens."""
        size = (self.N_c / _positive("N", N)) ** (self.alpha_N / self.alpha_D)
        return np.asarray((size + self.D_c / _positive("D", D)) ** self.alpha_D)


KAPLAN_DATA = DataLimited(6.4e13, 1.8e13, 0.076, 0.103)
"""As printed by Kaplan et al. 2020."""


def kaplan_compute(petaflop_days: ArrayLike) -> Array:
    """Loss of the best model by C_min: (3.1e8 / C_min)^0.050, C_min in PF-days."""
    return np.asarray((3.1e8 / _positive("C_min", petaflop_days)) ** 0.050)


def _positive(name: str, value: ArrayLike) -> Array:
    """As floats: products of whole numbers such as 6NBS overflow."""
    array = np.asarray(value, dtype=float)
    if not (np.isfinite(array) & (array > 0)).all():
        raise InputError(f"{name} must be positive and finite", got=value)
    return array
