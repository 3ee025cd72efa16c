"""Which layers train at a step: one interface for learned, random and fixed choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from parsimony.adapt.importance_sparse_tuning.importance import draw, log_sigmoid


class Selector(ABC):
    """A way to choose the layers that train.

    Attributes:
        name: as the user types it.
        scored: it needs the layers' importances, so probes are run.
        random: choices differ from draw to draw.
        share: of the layers that train where the user does not say, in (0, 1].
        trained: their number where the user does not say; instead of ``share``.
        redraw_every: optimizer steps between draws where the user does not say.
        whole: it trains whole layers of a model without adapters.
    """

    name: ClassVar[str]
    scored: ClassVar[bool] = False
    random: ClassVar[bool] = True
    share: ClassVar[float] = 0.25
    trained: ClassVar[int | None] = None
    redraw_every: ClassVar[int] = 1
    whole: ClassVar[bool] = False

    @abstractmethod
    def choose(
        self, importance: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[int, ...]:
        """Indices of ``count`` layers, ascending, from importances of shape (layers,)."""


class Importance(Selector):
    """Drawn without replacement, weights sigmoid(importance)."""

    name = "ist"
    scored = True

    def choose(
        self, importance: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[int, ...]:
        return draw(log_sigmoid(importance), count, random)


class Uniform(Selector):
    """Drawn without replacement, all alike: the control of the paper."""

    name = "rst"

    def choose(
        self, importance: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[int, ...]:
        return draw(np.zeros(len(importance)), count, random)


class Lisa(Uniform):
    """Whole layers drawn alike every few steps; what lies outside of them always trains."""

    name = "lisa"
    trained = 2
    redraw_every = 20
    whole = True


class Top(Selector):
    """The layers nearest to the output."""

    name = "top"
    random = False

    def choose(
        self, importance: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[int, ...]:
        return tuple(range(len(importance) - count, len(importance)))


class All(Selector):
    """Every layer: adapters trained as usual."""

    name = "all"
    random = False
    share = 1.0

    def choose(
        self, importance: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[int, ...]:
        return tuple(range(len(importance)))


class Fixed(Selector):
    """The layers that the user lists."""

    name = "fixed"
    random = False

    def __init__(self, layers: Iterable[int] = ()) -> None:
        self.layers = tuple(sorted(set(layers)))

    def choose(
        self, importance: np.ndarray, count: int, random: np.random.Generator
    ) -> tuple[int, ...]:
        return self.layers


SELECTORS: dict[str, type[Selector]] = {
    selector.name: selector for selector in (Importance, Uniform, Lisa, Top, All, Fixed)
}
"""Selectors by name."""
