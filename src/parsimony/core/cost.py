"""What one training step costs, counted before anything is allocated.

The model is built on the meta device, its weights are replaced by fake tensors of the target
device, and a real training step runs on those fakes while every storage that lives is counted.
No weight is read and no arithmetic is done, yet the operators, what they save for the backward
pass and what the optimizer keeps are those of the real run.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from parsimony.core.pretrained import NEXT_TOKEN

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class StepCost:
    """Cost of one optimizer step.

    Attributes:
        parameters: number of parameters, tied ones counted once.
        trainable: those with ``requires_grad``.
        trainable_bytes: bytes of the trainable ones.
        weight_bytes: bytes of all parameters and buffers.
        state_bytes: bytes of the optimizer's state.
        peak_bytes: most tensor bytes alive at once, weights and optimizer state included.
        flops: floating-point operations of one step; torch's FlopCounterMode rules (matrix
            products, convolutions and attention; a multiply-add is two).
    """

    parameters: int
    trainable: int
    trainable_bytes: int
    weight_bytes: int
    state_bytes: int
    peak_bytes: int
    flops: int


def count(model: nn.Module) -> tuple[int, int, int]:
    """(parameters, trainable parameters, bytes of the trainable ones); tied ones once."""
    parameters = list(model.parameters())
    trained = [p for p in parameters if p.requires_grad]
    return (
        sum(_values(p) for p in parameters),
        sum(p.numel() for p in trained),
        sum(p.numel() * p.element_size() for p in trained),
    )


def _values(parameter: nn.Parameter) -> int:
    """How many values a parameter holds; two in each byte of bitsandbytes' 4-bit codes."""
    return parameter.numel() * (2 if type(parameter).__name__ == "Params4bit" else 1)


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Run ``build`` with every new tensor on the meta device: shapes without storage."""
    with torch.device("meta"):
        return build()


def trace_step(
    model: nn.Module,
    inputs: Callable[[], dict[str, torch.Tensor]],
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    device: str = "cpu",
    accumulation: int = 1,
) -> StepCost:
    """Trace forward, backward and optimizer step of a meta ``model``.

    Args:
        model: on the meta device, as ``on_meta`` returns it; changed in place.
        inputs: makes the keyword arguments of the forward call, labels included.
        optimizer: makes the optimizer from the trainable parameters.
        device: where the real run will be; decides which kernels are traced.
        accumulation: forward and backward passes per step, each on what ``inputs`` makes.
    """
    total, trainable, trainable_bytes = count(model)
    live = _LiveBytes()
    with FakeTensorMode(allow_non_fake_inputs=True):
        _materialise(model, device)
        model.train()
        batch = {key: value.to(device) for key, value in inputs().items()}
        trained = [p for p in model.parameters() if p.requires_grad]
        stepper = optimizer(trained) if trained else None
        with live:
            for tensor in [*model.parameters(), *model.buffers()]:
                live.watch(tensor.data)
            weights = live.now
            # A step on empty gradients puts the optimizer's state in place, as later steps find it.
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
            before = live.flops
            if stepper is None:  # nothing trains: the forward pass is all there is
                model(**batch)
                flops = accumulation * (live.flops - before)
                return StepCost(total, trainable, trainable_bytes, weights, 0, live.peak, flops)
            stepper.step()
            stepper.zero_grad()
            state = live.now - weights
            before = live.flops
            model(**batch).loss.backward()
            flops = accumulation * (live.flops - before)
            if accumulation > 1:  # a pass beside the gradients of one before it; more add nothing
                model(**batch).loss.backward()
            stepper.step()
            stepper.zero_grad()
    return StepCost(total, trainable, trainable_bytes, weights, state, live.peak, flops)


def text_batch(settings: PretrainedConfig, task: str, batch: int, window: int) -> Any:
    """Inputs of ``batch`` texts of ``window`` tokens for ``trace_step``."""

    def inputs() -> dict[str, torch.Tensor]:
        ids = torch.ones(batch, window, dtype=torch.long)
        if task in NEXT_TOKEN:
            labels = ids.clone()
        elif task == "regression":
            labels = torch.zeros(batch, dtype=torch.float32)
        else:
            labels = torch.zeros(batch, dtype=torch.long)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

    return inputs


def _materialise(model: nn.Module, device: str) -> None:
    """Replace meta parameters and buffers by (fake) tensors on ``device``; ties are kept."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    twin: torch.Tensor = torch.empty(
                        tensor.shape, dtype=tensor.dtype, device=device
                    )
                    if isinstance(tensor, nn.Parameter):
                        twin = nn.Parameter(twin, requires_grad=tensor.requires_grad)
                    made[id(tensor)] = twin
                store[name] = made[id(tensor)]  # type: ignore[assignment]


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all storages alive, now and at the most, and operations done.

    Operations are counted by torch's formulas, but not through ``FlopCounterMode``: that tracks
    modules, and so keeps what checkpointing has freed.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self.flops = 0
        self._sizes: dict[int, int] = {}

    def watch(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            # Fakes hold no value to read; any scalar does, costs do not depend on it.
            return 1.0 if args[0].dtype.is_floating_point else 1
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.watch(leaf)
        return out
