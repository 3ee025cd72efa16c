"""Tensor parallelism: which matrices are split by rows, which by columns (torch's DTensor).

Rows of the projections into attention and MLP, columns of those out of them, rows of the embedding
and of the output layer (Shoeybi et al. 2019, arXiv 1909.08053, section 3). Norms, positions and
the biases of the projections out are whole on every device. Logits stay split by vocabulary; the
loss is computed from the parts (``loss_parallel``).
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

from parsimony.plan.running.gpt import GPT, Block


def split_block(block: Block, mesh: DeviceMesh) -> None:
    """Split the matrices of one layer over the devices of ``mesh``."""
    parallelize_module(
        block,
        mesh,
        {
            "attention.qkv": ColwiseParallel(),
            "attention.out": RowwiseParallel(),
            "mlp.up": ColwiseParallel(),
            "mlp.down": RowwiseParallel(),
        },
    )


def split_ends(stage: GPT, mesh: DeviceMesh) -> None:
    """Split what a stage has of embedding and output layer over the devices of ``mesh``."""
    if stage.embedding is not None:
        parallelize_module(stage, mesh, {"embedding": RowwiseParallel(input_layouts=Replicate())})
    if stage.output is not None:
        style = ColwiseParallel(output_layouts=Shard(-1), use_local_output=False)
        parallelize_module(stage, mesh, {"output": style})
    stage.tie()  # each got a new parameter


def place_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Split the gradients as their parameters are; torch leaves that of an embedding whole."""
    for parameter in parameters:
        grad = parameter.grad
        split = isinstance(parameter, DTensor) and isinstance(grad, DTensor)
        if split and grad.placements != parameter.placements:
            parameter.grad = grad.redistribute(placements=parameter.placements)
