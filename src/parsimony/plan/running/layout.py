"""A layout on processes: which of them have which part of the model, and what each does in a step.

Processes are numbered as the planner numbers devices: tensor parallelism innermost, then replicas,
then stages.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import loss_parallel

from parsimony.plan.running import data_parallel, pipeline, tensor_parallel
from parsimony.plan.running.gpt import GPT, initial, loss

if TYPE_CHECKING:
    from parsimony.plan.cluster.plan_file import Plan


@dataclass
class Part:
    """What one process has.

    Attributes:
        plan: what is run.
        mesh: (pp, dp, tp) of all processes.
        stages: its pieces of the model, one unless interleaved.
        device: where they are.
        schedule: order of the passes, of ``pipeline.SCHEDULES``.
        precision: ``"fp32"``, or ``"bf16"`` through autocast with weights in 32 bits.
    """

    plan: Plan
    mesh: DeviceMesh
    stages: list[GPT]
    device: torch.device
    schedule: str
    precision: str = "fp32"

    def __post_init__(self) -> None:
        layout = self.plan.layout
        self._pipeline = (
            pipeline.schedule(
                self.stages, self.schedule, self.plan.micro_batches,
                layout.pipeline * layout.chunks, self.device, self.mesh.get_group("pp"),
            )
            if layout.pipeline > 1
            else None
        )  # fmt: skip
        tied = self.plan.shape.tied and layout.pipeline > 1
        self._ends = pipeline.ends(self.mesh) if tied else None

    @property
    def named(self) -> dict[str, nn.Parameter]:
        """Its parameters by their name in the whole model."""
        return {name: p for stage in self.stages for name, p in stage.named_parameters()}

    @property
    def replica(self) -> int:
        """Which replica it belongs to."""
        return self.mesh.get_local_rank("dp")

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Forward and backward passes of one batch; gradients are those of the mean loss.

        Args:
            tokens: ids (batch, sequence + 1) of the whole batch, the same in all processes.

        Returns:
            The mean loss, the same in all processes.
        """
        layout, m = self.plan.layout, self.plan.micro_batches
        own = tokens.chunk(layout.data)[self.replica].to(self.device)
        inputs, targets = own[:, :-1], own[:, 1:].contiguous()
        split = loss_parallel() if layout.tensor > 1 else contextlib.nullcontext()
        mixed = torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16")
        with split, mixed:
            if self._pipeline is not None:
                losses = pipeline.step(self._pipeline, self.stages, inputs, targets)
            else:
                losses = self._alone(inputs.chunk(m), targets.chunk(m))
        self._exchange()
        return self._mean(losses)

    def _alone(
        self, inputs: tuple[torch.Tensor, ...], targets: tuple[torch.Tensor, ...]
    ) -> list[torch.Tensor]:
        (stage,) = self.stages
        losses = []
        for i, (x, y) in enumerate(zip(inputs, targets, strict=True), 1):
            data_parallel.before_micro_batch(stage, self.plan.layout.zero, last=i == len(inputs))
            found = loss(stage(x), y)
            found.backward()
            losses.append(found.detach())
        for parameter in stage.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(len(inputs))
        return losses

    def _exchange(self) -> None:
        """What is left to add up: copies of a tied embedding, and whole replicas."""
        layout, group = self.plan.layout, self.mesh.get_group("dp")
        tensor_parallel.place_gradients(self.named.values())
        if self.plan.shape.tied and layout.pipeline > 1:
            pipeline.add_tied(self.stages, self._ends)
        if layout.data > 1 and not layout.zero:
            data_parallel.average_gradients(self.named.values(), group)

    def _mean(self, losses: list[torch.Tensor]) -> torch.Tensor:
        """The mean over micro-batches and replicas, which the last stage has, in all processes."""
        speaks = self.stages[-1].output is not None and self.mesh.get_local_rank("tp") == 0
        mean = torch.zeros((), device=self.device)
        if speaks:
            whole = [x.full_tensor() if isinstance(x, DTensor) else x for x in losses]
            mean = torch.stack(whole).mean() / self.plan.layout.data
        distributed.all_reduce(mean)
        return mean


def build(
    plan: Plan, device: torch.device, schedule: str, precision: str = "fp32", seed: int = 0
) -> Part:
    """This process's part of a plan.

    The process group must be there. Weights are made layer by layer, so that no process holds more
    of them than its part and one whole layer or the ends; on the meta device none are made.

    Args:
        plan: layout and shape; the layout's processes are those of the group.
        device: where the weights go.
        schedule: of ``pipeline.SCHEDULES``.
        precision: see ``Part``.
        seed: of the weights.
    """
    layout, shape = plan.layout, plan.shape
    mesh = init_device_mesh(
        device.type if device.type != "meta" else "cpu",
        (layout.pipeline, layout.data, layout.tensor),
        mesh_dim_names=("pp", "dp", "tp"),
    )
    pieces = pipeline.pieces(
        shape.layers, layout.pipeline, layout.chunks, mesh.get_local_rank("pp")
    )
    stages = []
    for number, layers in pieces:
        with torch.device("meta"):
            stage = GPT(
                shape, layers, number == 0, number == layout.pipeline * layout.chunks - 1,
                plan.training.flash, layout.recompute,
            )  # fmt: skip
        for name, block in stage.blocks.items():
            _fill(block, f"blocks.{name}.", device, seed)
            if layout.tensor > 1:
                tensor_parallel.split_block(block, mesh["tp"])
            if layout.zero and layout.data > 1:
                data_parallel.shard(block, mesh["dp"], layout.zero)
        for child in ("embedding", "positions", "norm", "output"):
            module = getattr(stage, child)
            if module is not None and not (child == "output" and _shared(stage)):
                _fill(module, f"{child}.", device, seed, tied=shape.tied)
        stage.tie()
        if layout.tensor > 1:
            tensor_parallel.split_ends(stage, mesh["tp"])
        if layout.zero and layout.data > 1:
            data_parallel.shard(stage, mesh["dp"], layout.zero)
        stages.append(stage)
    return Part(plan, mesh, stages, device, schedule, precision)


def _shared(stage: GPT) -> bool:
    return stage.tied and stage.embedding is not None


def _fill(
    module: nn.Module, prefix: str, device: torch.device, seed: int, tied: bool = False
) -> None:
    """Make the weights of a module that is on the meta device."""
    if device.type == "meta":
        return
    module.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            whole = f"{prefix}{name}"
            if tied and whole == "output.weight":  # a copy of the embedding
                whole = "embedding.weight"
            parameter.copy_(initial(whole, parameter.shape, seed))
