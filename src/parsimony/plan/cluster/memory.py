"""Bytes of the heaviest pipeline stage, split by cause.

Per parameter and device: weights, gradients and optimizer states by a named accounting, divided by
d where ZeRO shards them (Rajbhandari et al. 2020, arXiv 1910.02054). Per layer and micro-batch:

    s b h (10 + 24 / t + 5 a s / (h t))    activations of a GPT in 16 bits (2205.05198, section 4)

With flash attention or selective recompute the last term is not kept; with full recompute only the
layer's input, 2 s b h, and the whole of one layer while it is computed again. Sequence parallelism
divides all of it by t. A stage keeps what is in flight on it: min(m, p) micro-batches on the first
and one on the last under 1F1B, m under GPipe, p (1 + (p - 1) / (p v)) on the first if interleaved.
The middle stages hold no embedding and fewer micro-batches than the first: none is the heaviest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parsimony.plan.cluster.model_shape import ModelShape

if TYPE_CHECKING:
    from parsimony.plan.cluster.training import Training


@dataclass(frozen=True)
class States:
    """Bytes that training keeps for each parameter.

    Attributes:
        weights: the copy that computes.
        gradients: as they are accumulated.
        optimizer: moments, and the 32-bit copy of the weights.
    """

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """Bytes of a parameter in all."""
        return self.weights + self.gradients + self.optimizer


STATES = {
    "adam16": States(2, 2, 4 + 4 + 4),
    "adam18": States(2, 4, 4 + 4 + 4),
    "frontier": States(2, 4, 4 + 4),
}
"""Accountings by name: the ZeRO paper's, with 32-bit gradients, and the Frontier paper's table,
which has room for one moment of Adam only."""

LOGIT_BYTES = 8
"""Logits in 32 bits, and their gradient."""

CAUSES = ("weights", "gradients", "optimizer", "activations", "logits")
"""What the memory of a stage is for."""


def stage_parameters(shape: ModelShape, t: Any, p: Any, first: Any, last: Any) -> Any:
    """Parameters on one device of a stage: L / p layers, and what the pipeline's ends hold.

    A tied output layer is there twice when the two ends are on different stages.
    """
    layer = (shape.matrices + shape.split_biases) / t + shape.copied
    rows = -(-shape.vocabulary // t) * shape.hidden
    separate = 1 if not shape.tied else np.asarray(p) > 1
    ends = first * (rows + shape.positions * shape.hidden)
    return shape.layers / p * layer + ends + last * (rows * separate + shape.final_norm)


def layer_activations(
    shape: ModelShape, training: Training, t: Any, b: Any, recompute: Any
) -> tuple[Any, Any]:
    """Bytes that one layer keeps of a micro-batch, and those that it needs on top while it runs."""
    widths = 2 * shape.query_width + 2 * shape.key_width + (4 if shape.gated else 2) * shape.inner
    tokens = training.sequence * b
    inputs = t if training.sequence_parallel else 1
    plain = tokens * (10 * shape.hidden / inputs + 2 * widths / t)
    scores = tokens * 5 * shape.heads * training.sequence / t * (not training.flash)
    only_input = 2 * tokens * shape.hidden / inputs
    whole = plain + scores
    partly = np.where(recompute == "selective", plain, only_input)
    kept = np.where(recompute == "none", whole, partly)
    return kept, whole - kept


def in_flight(training: Training, p: Any, v: Any, m: Any, first: Any) -> Any:
    """Micro-batches whose activations a stage keeps; no whole number when interleaved."""
    if training.schedule == "gpipe":
        return m + 0 * p
    plain = np.minimum(m, np.where(first, p, 1))
    chunks = np.minimum(m * v, np.where(first, v * p + p - 1, (v - 1) * p + 1))
    return np.where(np.asarray(v) > 1, chunks / v, plain)


def heaviest_stage(layouts: pd.DataFrame, shape: ModelShape, training: Training) -> pd.DataFrame:
    """Memory of the heaviest stage of each layout.

    Args:
        layouts: the columns of ``layouts.candidates``.
        shape: of the model.
        training: what is trained.

    Returns:
        ``stage`` (``"first"``, ``"last"`` or ``"only"``), ``parameters`` on one of its devices,
        bytes for each of ``CAUSES``, and their sum, ``memory``.
    """
    first, last = ends(layouts, shape, training)
    later = last["memory"] > first["memory"]
    found = first.where(~later, last)
    alone = layouts["pipeline"].to_numpy() == 1
    stage = np.where(alone, "only", np.where(later, "last", "first"))
    return pd.DataFrame({"stage": stage, **found}, index=layouts.index)


def ends(
    layouts: pd.DataFrame, shape: ModelShape, training: Training
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Memory of the first and of the last stage of each layout; the same where it has only one.

    Arguments as of ``heaviest_stage``, and its columns but ``stage``.
    """
    alone = layouts["pipeline"].to_numpy() == 1
    first = _stage(layouts, shape, training, first=True, last=alone)
    last = _stage(layouts, shape, training, first=alone, last=np.ones_like(alone))
    return pd.DataFrame(first, index=layouts.index), pd.DataFrame(last, index=layouts.index)


def _stage(
    layouts: pd.DataFrame, shape: ModelShape, training: Training, first: Any, last: Any
) -> dict[str, Any]:
    t, p, d, v, z, b, m = (
        layouts[name].to_numpy()
        for name in ("tensor", "pipeline", "data", "chunks", "zero", "micro_batch", "micro_batches")
    )
    states = STATES[training.states]
    parameters = stage_parameters(shape, t, p, first, last)
    kept, working = layer_activations(shape, training, t, b, layouts["recompute"].to_numpy())
    layers = shape.layers / p
    found = {
        "parameters": parameters,
        "weights": states.weights * parameters / np.where(z >= 3, d, 1),
        "gradients": states.gradients * parameters / np.where(z >= 2, d, 1),
        "optimizer": states.optimizer * parameters / np.where(z >= 1, d, 1),
        "activations": kept * layers * in_flight(training, p, v, m, first) + working,
        "logits": LOGIT_BYTES * training.sequence * b * -(-shape.vocabulary // t) * last,
    }
    return {**found, "memory": sum(found[cause] for cause in CAUSES)}
