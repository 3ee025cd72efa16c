"""The Step Law: peak learning rate and batch size of pre-training, from parameters and tokens.

``lr = 1.79 N^-0.713 D^0.307`` and ``B = 0.58 D^0.571``, B in tokens per step, N without the input
embedding and the output head, of a mixture of experts all of them (Li et al. 2025, arXiv
2503.04715). ``grid`` refits it on a grid of runs, ``rivals`` has other laws, ``advice`` the answer
with what speaks against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from parsimony.core.errors import InputError
from parsimony.core.fitting import PowerSum
from parsimony.core.fitting.columns import positive
from parsimony.core.fitting.law import Array, Columns

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "Li et al. 2025, arXiv 2503.04715"
REACH = 30.0
FEW_TOKENS = 4096


class _OnePower:
    """What both have: one power of each column, by least squares on logarithms."""

    source = SOURCE
    delta = float("inf")
    columns: ClassVar[tuple[str, ...]]
    parameters: ClassVar[tuple[str, ...]]

    def check(self, table: pd.DataFrame, file: str) -> tuple[str, ...]:
        """Three different values of each column, or its exponent cannot be known; B in tokens."""
        if "B" in table.columns and (positive(table, ["B"], file)["B"] < FEW_TOKENS).any():
            raise InputError(
                f"{file}: B is in tokens per step, and fewer than {FEW_TOKENS} look like sequences",
                got=float(table["B"].astype(float).min()),
                hint="Multiply by the tokens of a sequence",
            )
        for name, values in positive(table, self.columns, file).items():
            if len(np.unique(values)) < 3:
                raise InputError(
                    f"{file}: the exponent of {name} needs at least 3 different values of it",
                    got=len(np.unique(values)),
                    hint="Add runs",
                )
        return ()

    def starts(self, x: Columns, y: Array) -> Array:
        return np.zeros((1, len(self.parameters)))

    def constants(self, theta: Array) -> dict[str, Array]:
        """The factor, and the exponents with their signs."""
        exponents = {f"exponent_{name}": -theta[..., i] for i, name in enumerate(self.columns, 1)}
        return {"factor": np.exp(theta[..., 0]), **exponents}


class StepLawRate(_OnePower, PowerSum):
    """Peak learning rate."""

    name = "step-law-lr"
    formula = "lr = factor N^exponent_N D^exponent_D"
    columns = ("N", "D")
    target = "lr"
    parameters = ("c", "fall_N", "fall_D")
    reach: ClassVar[Mapping[str, float]] = {"N": REACH, "D": REACH}
    terms = (("c", {"N": "fall_N", "D": "fall_D"}),)


class StepLawBatch(_OnePower, PowerSum):
    """Batch size in tokens per step; of the tokens alone."""

    name = "step-law-batch"
    formula = "B = factor D^exponent_D"
    columns = ("D",)
    target = "B"
    parameters = ("c", "fall_D")
    reach: ClassVar[Mapping[str, float]] = {"D": REACH}
    terms = (("c", {"D": "fall_D"}),)


def without_vocabulary(width: int, hidden: int, layers: int) -> int:
    """N of a dense model: multi-head attention and a gated MLP of three matrices.

    ``N = layers (4 width^2 + 3 width hidden)``; embeddings, head and norms do not count.
    """
    return layers * (4 * width * width + 3 * width * hidden)
