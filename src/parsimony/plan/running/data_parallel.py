"""Data parallelism: replicas that share their gradients, and ZeRO's stages by FSDP2.

What a stage of ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054) becomes:

    0   weights, gradients and optimizer states whole; gradients are averaged once a step, by one
        all-reduce for each parameter
    1   ``fully_shard``, optimizer states and the weights between steps split; weights are gathered
        once a step, gradients whole until the step's last micro-batch scatters them
    2   as 1, and the gradients of every micro-batch are scattered
    3   as 2, and weights are gathered again for every pass of every layer

torch's pipeline schedules scatter gradients once a step and free no weights in a backward pass, so
that in a pipeline 2 costs what 1 does, and 3 saves the forward pass alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor


def shard(module: nn.Module, mesh: DeviceMesh, zero: int) -> None:
    """Split the parameters of ``module`` that are not split yet over the replicas.

    Args:
        module: a layer, or a stage after its layers.
        mesh: of the replicas.
        zero: stage, 1 to 3.
    """
    fully_shard(module, mesh=mesh, reshard_after_forward=zero == 3)


def before_micro_batch(stage: nn.Module, zero: int, last: bool) -> None:
    """Tell FSDP what to do in the next backward pass of a stage that is no pipeline's.

    Args:
        stage: the model.
        zero: stage of ZeRO.
        last: it is the step's last micro-batch.
    """
    if isinstance(stage, FSDPModule):
        stage.set_requires_gradient_sync(last or zero > 1)
        stage.set_reshard_after_backward(last or zero == 3)
        stage.set_is_last_backward(last)


def average_gradients(parameters: Iterable[nn.Parameter], group: distributed.ProcessGroup) -> None:
    """Average the gradients of whole replicas, as ZeRO 0 does once a step."""
    waiting = []
    for parameter in parameters:
        if parameter.grad is not None:
            local = to_local(parameter.grad)
            local.div_(group.size())
            waiting.append(distributed.all_reduce(local, group=group, async_op=True))
    for work in waiting:
        work.wait()


def to_local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor, or the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
