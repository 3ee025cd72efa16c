"""The one place that touches what peft does not export (peft 0.21; see the pin in pyproject).

``lookup``: target modules by architecture, the adapter that adapts nothing, loading that is
strict. ``layer`` and ``tuner``: the base of tuners of our own.
"""

from parsimony.core.peft_border.layer import AdapterLayer, BufferDict, weight_shape
from parsimony.core.peft_border.lookup import (
    NO_TARGET,
    TASK_TYPES,
    adapted_layers,
    by_pattern,
    default_targets,
    feedforward_targets,
    fold,
    head_modules,
    linear_modules,
    load_adapter,
    merged,
    norm_modules,
    unmergeable,
)
from parsimony.core.peft_border.tuner import (
    AdapterConfig,
    AdapterTuner,
    refuse_unmergeable,
    register,
)

__all__ = [
    "NO_TARGET",
    "TASK_TYPES",
    "AdapterConfig",
    "AdapterLayer",
    "AdapterTuner",
    "BufferDict",
    "adapted_layers",
    "by_pattern",
    "default_targets",
    "feedforward_targets",
    "fold",
    "head_modules",
    "linear_modules",
    "load_adapter",
    "merged",
    "norm_modules",
    "refuse_unmergeable",
    "register",
    "unmergeable",
    "weight_shape",
]
