"""What every law of the loss refuses: losses that are no nats per token, and runs it is not of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from parsimony.core.errors import DataError, InputError
from parsimony.core.fitting import Law
from parsimony.core.fitting.columns import positive, row_numbers
from parsimony.core.fitting.law import Array, Columns

if TYPE_CHECKING:
    import pandas as pd

PERPLEXITY = 15.0
"""Above the loss of a uniform guess over 3 million tokens."""

COUNTING = "embeddings"
"""Optional column that says whether N of a row counts the embeddings."""

UNIQUE = "unique_tokens"
"""Optional column with the tokens that differ; a run that saw more repeated some."""

UNIT = "loss_unit"
"""Optional column with the unit of the loss."""


class LossLaw(Law):
    """A law for the cross-entropy in nats per token, of runs that repeat no data."""

    target = "loss"
    # From the sheet of Su et al.: beyond these, predictions are guesses.
    reach: ClassVar[Mapping[str, float]] = {"N": 100.0, "D": 100.0, "C": 1000.0}

    def extents(self, x: Columns) -> dict[str, Array]:
        """The columns, and the compute C = 6 N D where both are given."""
        found = {name: x[name] for name in self.columns}
        if {"N", "D"} <= set(found):
            found["C"] = 6.0 * found["N"] * found["D"]
        return found

    def check(self, table: pd.DataFrame, file: str) -> tuple[str, ...]:
        """Refuse perplexities, mixed units, mixed counts of N, and repeated data."""
        loss = positive(table, [self.target], file)[self.target]
        if (loss > PERPLEXITY).any():
            row = int((loss > PERPLEXITY).argmax())
            raise DataError(
                "a loss is in nats per token, and this looks like a perplexity",
                file=file, row=row_numbers(table)[row], column=self.target, got=float(loss[row]),
                hint="Give its logarithm; losses in bits are to be multiplied by ln 2",
            )  # fmt: skip
        for name, what in ((UNIT, "units of the loss"), (COUNTING, "ways of counting N")):
            given = sorted(map(str, set(table[name]))) if name in table.columns else []
            if len(given) > 1:
                raise InputError(
                    f"{file}: one fit needs one of the {what}, but '{name}' has {', '.join(given)}",
                    hint="Which rows are meant? Keep those, or convert the others",
                )
        if UNIQUE in table.columns and "D" in table.columns:
            tokens = positive(table, ["D", UNIQUE], file)
            repeated = tokens["D"] > tokens[UNIQUE]
            if repeated.any():
                row = int(repeated.argmax())
                raise DataError(
                    f"'{self.name}' is a law of runs that repeat no data, and this one saw more "
                    f"tokens than its {tokens[UNIQUE][row]:.4g} unique ones",
                    file=file, row=row_numbers(table)[row], column="D", got=float(tokens["D"][row]),
                    hint="Leave such runs out",
                )  # fmt: skip
        return ()


def floor_refusal(floor: float, y: Array) -> str:
    """Why a loss that no model could pass is impossible: it lies above one that was observed.

    Args:
        floor: logarithm of the least possible loss.
        y: logarithm of the observed ones.
    """
    if floor > y.min():
        return (
            f"the least possible loss E = {math.exp(floor):.4g} lies above the smallest observed "
            f"loss {math.exp(np.min(y)):.4g}"
        )
    return ""
