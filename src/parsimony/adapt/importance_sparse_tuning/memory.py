"""What draws of layers keep for the backward pass, and which of them a cap lets through."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np

from parsimony.core.errors import InputError
from parsimony.core.layers import SavedBytes

_TRIES = 1000


class MemoryCap:
    """Keeps draws under a share of the bytes that training all layers keeps.

    A layer is left out of the draws where it does not fit even beside the uppermost ones; a draw
    that is still too large is drawn again, and the uppermost layers stand in for the 1000th.

    Args:
        saved: measured on the model.
        cap: share in (0, 1].
        count: layers of a draw.

    Attributes:
        allowed: numbers of the layers that may be drawn; shape (some,), ascending.

    Raises:
        InputError: even the uppermost layers keep more than ``cap``.
    """

    def __init__(self, saved: SavedBytes, cap: float, count: int) -> None:
        self._saved, self._cap, self._count = saved, cap, count
        self._total = len(saved.trained)
        self.check(self._top(count))
        layers = range(self._total)
        self.allowed = np.array([i for i in layers if self.fits({i, *self._top(count - 1)})])

    def share(self, active: Collection[int]) -> float:
        """Predicted bytes kept while ``active`` train, as a share of those with all layers."""
        return self._saved.of(active) / self._saved.of(range(self._total))

    def fits(self, active: Collection[int]) -> bool:
        """Whether ``active`` keep at most the cap."""
        return self.share(active) <= self._cap

    def check(self, active: Collection[int]) -> None:
        """Refuse a choice that does not fit.

        Raises:
            InputError: naming the least cap that lets it through.
        """
        if not self.fits(active):
            raise InputError(
                f"layers {sorted(active)} need a memory_cap of at least "
                f"{math.ceil(1000 * self.share(active)) / 1000}",
                got=self._cap,
                hint="Raise it, or train fewer layers at a step",
            )

    def draw(self, choose: Callable[[np.ndarray], tuple[int, ...]]) -> tuple[int, ...]:
        """A draw that fits.

        Args:
            choose: draws from some layers; gets their numbers, gives positions among them.
        """
        for _ in range(_TRIES):
            drawn = tuple(self.allowed[list(choose(self.allowed))].tolist())
            if self.fits(drawn):
                return drawn
        return self._top(self._count)

    def _top(self, count: int) -> tuple[int, ...]:
        return tuple(range(self._total - count, self._total))
