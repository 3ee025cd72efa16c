"""What a law is: columns in, one positive figure out, through a few parameters.

A law is declared by its names, one formula with its gradient, and the starts of a search. All
else (the robust loss, many starts, the bootstrap, intervals, refusals, files) is the engine's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from parsimony.core.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Columns = Mapping[str, Array]


class Law(ABC):
    """One parametric law for the logarithm of a positive figure.

    Attributes:
        name: by which it is found; lower-case words joined by hyphens.
        formula: as one would write it on paper.
        source: where it is from.
        columns: what it is a function of; all positive.
        fixed: those of ``columns`` whose exponent is known, so that runs need not vary them.
        target: the column it predicts; positive.
        parameters: names of the P numbers that are fitted, in the form the search sees them.
        positive: those of ``parameters`` that must not be negative, or the fit has failed.
        delta: residuals of the logarithm beyond this count by their size and not by their square;
            infinite for least squares.
        reach: how many times beyond the fitted range of a quantity (see ``extents``) the law may
            be asked; quantities that are not named have no limit.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    fixed: ClassVar[tuple[str, ...]] = ()
    target: ClassVar[str] = "loss"
    parameters: ClassVar[tuple[str, ...]]
    positive: ClassVar[tuple[str, ...]] = ()
    delta: ClassVar[float] = 1e-3
    reach: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def evaluate(self, theta: Array, x: Columns) -> tuple[Array, Array]:
        """Logarithm of the figure, and its gradient.

        Args:
            theta: parameters, [..., P].
            x: columns by name, each [n] or [..., n].

        Returns:
            [..., n] and [..., P, n].
        """

    @abstractmethod
    def starts(self, x: Columns, y: Array) -> Array:
        """Where a search begins, [starts, P].

        Args:
            x: the columns, [n] each.
            y: logarithm of the target, [n].
        """

    def constants(self, theta: Array) -> dict[str, Array]:
        """What is reported for parameters [..., P]: by name, [...] each."""
        return {name: theta[..., i] for i, name in enumerate(self.parameters)}

    def extents(self, x: Columns) -> dict[str, Array]:
        """The quantities whose fitted range is remembered, [n] each."""
        return {name: x[name] for name in self.columns}

    def prepare(self, table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The rows that the law is fitted to, and what the reader must know of them."""
        return table, ()

    def check(self, table: pd.DataFrame, file: str) -> tuple[str, ...]:
        """Look at a whole table before a fit; what the reader must know.

        Raises:
            InputError: the law does not cover such runs.
        """
        return ()

    def refusal(self, theta: Array, y: Array) -> str:
        """Why parameters [P] found on log targets ``y`` make no sense; empty when they do."""
        for name in self.positive:
            value = float(theta[self.parameters.index(name)])
            if value < 0:
                return f"{name} came out negative ({value:.4g})"
        return ""

    def remarks(self, theta: Array, x: Columns) -> tuple[str, ...]:
        """What the reader must know of parameters [P] found on columns ``x``."""
        return ()

    def index(self, parameter: str) -> int:
        """Position of a parameter.

        Raises:
            InputError: there is none of that name.
        """
        if parameter not in self.parameters:
            raise InputError(
                f"the law '{self.name}' has no parameter '{parameter}'",
                hint=nearest(parameter, self.parameters),
            )
        return self.parameters.index(parameter)


class PowerSum(Law):
    """A sum of powers: each term is exp(c + Σ k_j log x_j).

    ``L = Σ_t exp(offset_t) Π_j x_j^(-exponent)``. A subclass names its ``terms``; their
    parameters become the law's, and the formula and its gradient follow.

    Attributes:
        terms: (name of the offset, {column: name of the exponent}). An offset is the logarithm of
            a constant and is reported as that constant, under its name in capitals. Terms that
            share the name of an exponent share its value.
    """

    terms: ClassVar[tuple[tuple[str, Mapping[str, str]], ...]]

    def evaluate(self, theta: Array, x: Columns) -> tuple[Array, Array]:
        logs = {name: np.log(x[name]) for name in self.columns}
        shape = np.broadcast_shapes((*theta.shape[:-1], 1), *(v.shape for v in logs.values()))
        parts = []
        for offset, exponents in self.terms:
            part = np.broadcast_to(theta[..., self.parameters.index(offset), None], shape)
            for column, exponent in exponents.items():
                part = part - theta[..., self.parameters.index(exponent), None] * logs[column]
            parts.append(part)
        top = np.maximum.reduce(parts)
        shares = [np.exp(part - top) for part in parts]
        total = np.add.reduce(shares)
        gradient = np.zeros((*shape[:-1], len(self.parameters), shape[-1]))
        for (offset, exponents), share in zip(self.terms, shares, strict=True):
            share /= total
            gradient[..., self.parameters.index(offset), :] += share
            for column, exponent in exponents.items():
                gradient[..., self.parameters.index(exponent), :] -= share * logs[column]
        return top + np.log(total), gradient

    def constants(self, theta: Array) -> dict[str, Array]:
        offsets = {offset for offset, _ in self.terms}
        return {
            name.upper() if name in offsets else name: np.exp(theta[..., i])
            if name in offsets
            else theta[..., i]
            for i, name in enumerate(self.parameters)
        }
