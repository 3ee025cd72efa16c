"""Every law that a table allows, fitted to it, and how well each predicts the largest runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from parsimony.core.errors import DataError, InputError, require
from parsimony.core.fitting import fit
from parsimony.core.fitting.columns import TABLE
from parsimony.plan.laws import laws

if TYPE_CHECKING:
    import pandas as pd


def compare(
    table: pd.DataFrame,
    target: str = "loss",
    *,
    run: str | None = None,
    bootstraps: int = 200,
    seed: int = 0,
    file: str = TABLE,
) -> pd.DataFrame:
    """Fit each law of ``target`` whose columns are there.

    Args:
        table: one row per observation.
        target: the column that the laws predict.
        run: see ``core.fitting.fit``, as are the following.
        bootstraps: resamples.
        seed: of the resamples.
        file: name of the table, for errors.

    Returns:
        By law: constants (how many), error, held_out with its 95 % interval (low, high; of the
        held-out runs), condition, formula, failure; the one that
        predicts the largest size best first. Not-a-number where a fit failed, with the reason.

    Raises:
        InputError: no law of ``target`` has its columns there.
        DataError: a value is not positive.
    """
    pd = require("pandas", "plan")
    of_target = {name: law for name, law in laws().items() if law.target == target}
    rows = {}
    for name, law in of_target.items():
        if not {*law.columns, target} <= set(table.columns):
            continue
        count = len(law.parameters)
        try:
            found = fit(law(), table, run=run, bootstraps=bootstraps, seed=seed, file=file)
        except DataError:
            raise
        except InputError as error:
            rows[name] = (count, *[math.nan] * 5, law.formula, str(error))
            continue
        held_out = math.nan if found.held_out is None else found.held_out
        reason = "" if found.separable else "the constants are not separable on these runs"
        ends = found.held_out_interval or (math.nan, math.nan)
        rows[name] = (count, found.error, held_out, *ends, found.condition, law.formula, reason)
    if not rows:
        needs = "; ".join(f"{name} needs {', '.join(w.columns)}" for name, w in of_target.items())
        raise InputError(
            f"{file}: no law of '{target}' has its columns here",
            hint=needs or f"Targets: {', '.join(sorted({law.target for law in laws().values()}))}",
        )
    columns = ["constants", "error", "held_out", "low", "high", "condition", "formula", "failure"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("law")
    return frame.sort_values(["held_out", "error"], na_position="last")
