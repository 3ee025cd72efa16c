"""``compress``: prune, retrain a sliver, quantize, export; what each step cost, with intervals.

Every step keeps a journal in the run folder, so that a killed run goes on where it was: a pass
over blocks loses one block at most, a training what its last checkpoint does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parsimony.core.budget import Budget

if TYPE_CHECKING:
    pass

_LONGEST = 512  # tokens of a window that nobody asked for
_HELD_OUT = 128  # windows that scores are measured on


@dataclass(frozen=True)
class Request:
    """What the user asked for; ``None`` leaves a step out, or means 'decide for me'.

    Attributes:
        model: built-in name, folder or hub name.
        calibration: texts, see ``core.data.load``; the test split is what scores are measured on.
        text: their column.
        prune: such as ``"wanda:2:4"``, see ``recipe.Pruning``.
        reconstruct: iterations that every block is trained for after it was pruned.
        retrain: such as ``"masklora"``, see ``retraining.retrain``.
        steps: of the retraining.
        rate: its peak learning rate, and that of a reconstruction.
        quantize: such as ``"gptq:w4g128"``, see ``quantizer.Spec``.
        budget: ``memory`` of the calibration, ``size`` of the checkpoint.
        evaluate: ``FILE.py:FUNCTION`` that gives a score per row, higher being better; the loss
            per token, or the likeness of embeddings, by default.
        samples: windows to calibrate with.
        window: tokens of each.
        batch: windows at a time.
        seed: every random choice derives from it.
    """

    model: str = "stdlib-lm"
    calibration: str = "stdlib-code"
    text: str | None = None
    prune: str | None = None
    reconstruct: int = 0
    retrain: str | None = None
    steps: int = 200
    rate: float = 1e-3
    quantize: str | None = None
    budget: Budget = field(default_factory=Budget)
    evaluate: str | None = None
    samples: int = 128
    window: int | None = None
    batch: int = 8
    seed: int = 0
