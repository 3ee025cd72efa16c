"""Importance-aware Sparse Tuning: train, at each step, only the layers that matter for the task.

A callback for transformers' Trainer that puts itself on any model with adapters in its layers
(arXiv 2410.11772 and its official code): it learns one importance per layer from the losses
of probes in which half of the layers are damped, and trains a quarter of the layers at each step,
drawn in proportion to a sigmoid of their importance. The uniform draw (RST), LISA (arXiv
2403.17919) and fixed choices stand behind the same interface.

Memory: the backward pass needs activations from the lowest layer that trains up, so the mean over
steps falls; the peak is set by the draws that hold a low layer, unless a cap keeps those out.
"""

from parsimony.adapt.importance_sparse_tuning.callback import ImportanceSparseTuning
from parsimony.adapt.importance_sparse_tuning.importance import (
    distinct_draws,
    draw,
    expected_lowest,
    probe_losses,
    rewards,
    updated,
)
from parsimony.adapt.importance_sparse_tuning.selectors import SELECTORS, Selector

__all__ = [
    "SELECTORS",
    "ImportanceSparseTuning",
    "Selector",
    "distinct_draws",
    "draw",
    "expected_lowest",
    "probe_losses",
    "rewards",
    "updated",
]
