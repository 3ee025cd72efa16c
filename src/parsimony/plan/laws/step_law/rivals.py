"""Laws for the learning rate and the batch size, side by side, each with what it needs.

The constants are those of the comparison table in the Step Law paper, except where a note says so.
C = 6 N D is approximate: DeepSeek counts the FLOPs of attention and leaves out the embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parsimony.core.errors import InputError, nearest, require
from parsimony.plan.laws.step_law import REACH

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rival:
    """One published law.

    Attributes:
        name: whose.
        year: of publication.
        needs: inputs out of N, D, C and L (the loss in nats per token).
        rate: peak learning rate from N, D and L; ``None`` when it gives none.
        batch: tokens per step from N, D and L; ``None`` when it gives none.
        error: relative error that the Step Law paper prints for it, in thousandths.
        domain: fitted (least, greatest) of inputs, where known here.
        note: what to know about the constants.
    """

    name: str
    year: int
    needs: str
    rate: Callable[[float, float, float], float] | None
    batch: Callable[[float, float, float], float] | None
    error: float | None = None
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""

    def outside(self, inputs: Mapping[str, float]) -> str:
        """Which input is more than 30 times outside the domain; empty for none."""
        for name, (low, high) in self.domain.items():
            factor = max(inputs[name] / high, low / inputs[name])
            if factor > REACH:
                return (
                    f"outside its domain: {name} = {inputs[name]:.3g} is {factor:.3g} times "
                    f"outside {low:.3g} to {high:.3g}"
                )
        return ""


def step_rate(n: float, d: float) -> float:
    """Peak learning rate of the Step Law as printed."""
    return float(1.79 * n**-0.713 * d**0.307)


def step_batch(d: float) -> float:
    """Tokens per step of the Step Law as printed."""
    return float(0.58 * d**0.571)


RIVALS = {
    rival.name: rival
    for rival in (
        Rival("step-law", 2025, "ND", lambda n, d, _: step_rate(n, d),
              lambda n, d, _: step_batch(d), 0.94, {"N": (0.059e9, 1.07e9), "D": (4e9, 100e9)},
              "cosine to a fixed final rate of 1e-5"),
        Rival("openai", 2020, "NL", lambda n, d, _: 3.239e-3 - 1.395e-4 * math.log(n),
              lambda n, d, loss: 2e8 * loss**-4.76190, 9.51, {},
              "Kaplan's own 2e8; the table prints 2e18, most likely a misprint"),
        Rival("microsoft", 2024, "ND", lambda n, d, _: 1.3192e-5 * n**-0.23 * d**-0.32, None, 9.25),
        Rival("deepseek", 2024, "C", lambda n, d, _: 0.3188 * (6 * n * d) ** -0.1250,
              lambda n, d, _: 0.2920 * (6 * n * d) ** 0.3271, 9.26, {},
              "DeepSeek's own paper is recalled to print 0.3118"),
        Rival("porian", 2024, "N", lambda n, d, _: 3.7 * n**-0.36,
              lambda n, d, _: 0.7576 * n**0.703, 3.71),
        Rival("minicpm", 2024, "L", None, lambda n, d, loss: math.exp(20.91) / loss**6.24, None, {},
              "MiniCPM's own fit; the table prints 2e18, most likely a misprint"),
        Rival("constant", 0, "", lambda n, d, _: 1e-3, lambda n, d, _: 2.0**19, None, {},
              "a baseline of no law"),
    )
}  # fmt: skip
"""By name. MeiTuan's is a form only: its constants depend on the setup."""


def rival(name: str) -> Rival:
    """The law of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RIVALS:
        raise InputError(f"unknown law '{name}'", hint=nearest(name, RIVALS))
    return RIVALS[name]


def side_by_side(N: float, D: float, loss: float | None = None) -> pd.DataFrame:
    """What every law proposes for N parameters without vocabulary and D tokens.

    Args:
        N: parameters.
        D: tokens.
        loss: nats per token that the run is expected to reach; laws that need it have no answer
            without.

    Returns:
        By name: lr, batch_tokens, needs, year, printed_error (in thousandths) and note; a figure
        that is not known is not-a-number, with the reason in the note.
    """
    pd = require("pandas", "plan")
    if not (N > 0 and D > 0 and (loss is None or loss > 0)):
        raise InputError("N, D and the loss must be positive", got=(N, D, loss))
    inputs, rows = {"N": N, "D": D, "C": 6.0 * N * D}, {}
    for found in RIVALS.values():
        reason = found.outside(inputs)
        rate, batch = (None, None) if reason else (found.rate, found.batch)
        if loss is None and "L" in found.needs and not reason:
            batch = None
            reason = "its batch size needs the loss"
        rows[found.name] = (
            math.nan if rate is None else rate(N, D, loss or math.nan),
            math.nan if batch is None else batch(N, D, loss or math.nan),
            ", ".join(found.needs), found.year or None, found.error,
            "; ".join(filter(None, (reason, found.note))),
        )  # fmt: skip
    columns = ["lr", "batch_tokens", "needs", "year", "printed_error", "note"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("law")
