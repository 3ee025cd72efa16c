"""What is trained, and how, apart from the layout."""

from __future__ import annotations

from dataclasses import dataclass

from parsimony.core.errors import InputError, nearest
from parsimony.plan.cluster.memory import STATES

SCHEDULES = ("1f1b", "gpipe")
"""Orders of a pipeline's forward and backward passes; 1F1B with several chunks is interleaved."""


@dataclass(frozen=True)
class Training:
    """One step of training, in 16-bit arithmetic.

    Attributes:
        batch: sequences in a step, over all devices.
        sequence: tokens in each.
        states: name of the accounting of the memory of a parameter, see ``memory.STATES``.
        flash: attention keeps no scores.
        sequence_parallel: tensor parallelism splits the norms too, along the sequence.
        schedule: one of ``SCHEDULES``.
        overlap: communication of the replicas hides behind the last backward pass.
        across_nodes: tensor parallelism may leave a node.

    Raises:
        InputError: a number that is not positive, or an unknown name.
    """

    batch: int
    sequence: int = 2048
    states: str = "adam16"
    flash: bool = True
    sequence_parallel: bool = False
    schedule: str = "1f1b"
    overlap: bool = False
    across_nodes: bool = False

    def __post_init__(self) -> None:
        for name in ("batch", "sequence"):
            if getattr(self, name) < 1:
                raise InputError(f"the {name} must be positive", got=getattr(self, name))
        for name, known in (("states", STATES), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"unknown {name} '{getattr(self, name)}'",
                    hint=nearest(getattr(self, name), known),
                )
