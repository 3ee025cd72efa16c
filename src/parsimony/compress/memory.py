"""Peak memory of a pass over blocks, before it begins; refused where it cannot fit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from parsimony.compress.walk import matrix
from parsimony.core import layers, units
from parsimony.core.errors import BudgetError
from parsimony.core.prunable import block_linears

_FLOAT = 4  # bytes; a pass computes in float32
_SQUARES = 6  # a Hessian, the prepared one, its factor, its inverse, that one's factor, identity
_COPIES = 3  # of the largest matrix: the weight, what it becomes, scores or errors


@dataclass(frozen=True)
class PassMemory:
    """What a pass holds at once beside the process itself, in bytes.

    Attributes:
        model: parameters and buffers.
        hidden: what one block reads, of all windows, and what it should put out.
        block: activations of one batch inside one block.
        method: the largest layer's statistic and copies of its weight.
    """

    model: int
    hidden: int
    block: int
    method: int

    @property
    def total(self) -> int:
        return self.model + self.hidden + self.block + self.method


def predict(
    model: nn.Module, windows: int, window: int, batch: int, *, curvature: bool, targets: bool
) -> PassMemory:
    """Count it from shapes alone; also of a model on the meta device.

    Args:
        model: a transformers model.
        windows: of the calibration.
        window: tokens of each.
        batch: windows at a time.
        curvature: the method collects a Hessian.
        targets: the outputs of every block before the change are kept beside its inputs.
    """
    tensors = [*model.parameters(), *model.buffers()]
    shapes = [matrix(layer).shape for layer in block_linears(model).values()]
    per_block = -(-len(shapes) // len(layers.find(model)))
    config = model.config  # type: ignore[union-attr]
    width, heads = config.hidden_size, config.num_attention_heads
    states = windows * window * width * _FLOAT
    # What linear layers put out, once and once more through an activation; the attention's scores.
    outputs = sum(shape[0] for shape in shapes[:per_block])
    activations = batch * window * (2 * outputs + heads * window) * _FLOAT
    largest = max(shape[0] * shape[1] for shape in shapes)
    widest = max(shape[1] for shape in shapes)
    return PassMemory(
        model=sum(t.numel() for t in tensors) * _FLOAT,
        hidden=states * (2 if targets else 1),
        block=activations,
        method=_COPIES * largest * _FLOAT + (_SQUARES * widest**2 * _FLOAT if curvature else 0),
    )


def check(
    predicted: PassMemory, limit: float, windows: int, *, whose: str = "the memory budget"
) -> None:
    """Refuse a pass that cannot fit.

    Args:
        predicted: of the pass.
        limit: bytes.
        windows: of the calibration.
        whose: what the limit is.

    Raises:
        BudgetError: with the predicted peak, and the number of windows that would fit.
    """
    if predicted.total <= limit:
        return
    fixed = predicted.total - predicted.hidden
    fitting = int((limit - fixed) / (predicted.hidden / windows)) if limit > fixed else 0
    hint = f"; {fitting} of the {windows} windows would fit" if fitting else ""
    raise BudgetError(
        f"the calibration needs {units.format_bytes(predicted.total)} at its peak "
        f"({units.format_bytes(predicted.model)} of them the model), and {whose} is "
        f"{units.format_bytes(limit)}{hint}",
        nearest=f"memory={-(-predicted.total // 2**20)}MiB",
    )
