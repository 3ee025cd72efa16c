"""The layer some of whose scalars train, and the tuner that chooses them over a whole model."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pandas as pd
import peft
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

from parsimony.adapt.methods.apet.selection import PARTS, ApetConfig, Entry, choose
from parsimony.core.errors import InputError
from parsimony.core.peft_border import AdapterLayer, AdapterTuner, BufferDict, register


class ApetLayer(AdapterLayer):
    """A layer some of whose scalars train; positions count in the tensor as it is stored."""

    adapter_layer_names = ("apet_weight", "apet_bias")
    other_param_names = (
        *AdapterLayer.other_param_names,
        "apet_weight_index",
        "apet_bias_index",
    )
    kinds = ("Linear", "Conv1D", "Conv1d", "Conv2d", "Conv3d", "Embedding", "LayerNorm")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.apet_weight_index = BufferDict(persistent=True)
        self.apet_bias_index = BufferDict(persistent=True)

    @classmethod
    def check(cls, config: ApetConfig, path: str, layer: nn.Module) -> None:
        weight = layer.weight
        if weight is None:
            raise InputError(f"{path} has no weight to train", got=layer,
                             hint="Leave it out of target_modules")  # fmt: skip
        if not weight.is_floating_point() or hasattr(weight, "quant_state"):
            raise InputError(
                f"apet trains scalars of the model, and {path} is quantized: it holds codes",
                got=type(layer).__name__,
                hint="Load the model without quantization, or use a method that adds modules",
            )

    def update_layer(self, adapter: str, config: ApetConfig) -> None:
        for part in PARTS:
            positions = config.chosen.pop(f"{self.path}.{part}", None)
            if positions is not None:
                tensor = getattr(self.get_base_layer(), part)
                kind = torch.int32 if tensor.numel() < 2**31 else torch.int64
                index = torch.from_numpy(positions).to(tensor.device, kind)
                getattr(self, f"apet_{part}_index")[adapter] = index
        super().update_layer(adapter, config)

    def create(self, adapter: str, config: ApetConfig) -> dict[str, torch.Tensor]:
        stores = {part: getattr(self, f"apet_{part}_index") for part in PARTS}
        return {
            f"apet_{part}": torch.zeros(store[adapter].shape)
            for part, store in stores.items()
            if adapter in store
        }

    def delta(self, adapter: str) -> torch.Tensor:
        return self._outputs_first(self._dense(adapter, "weight"))

    def bias_delta(self, adapter: str) -> torch.Tensor | None:
        return self._dense(adapter, "bias") if adapter in self.apet_bias else None

    def _dense(self, adapter: str, part: str) -> torch.Tensor:
        shape = getattr(self.get_base_layer(), part).shape
        store, other = self.apet_weight, self.apet_bias
        if part == "bias":
            store, other = other, store
        if adapter not in store:
            like = other[adapter] if adapter in other else self.base_weight()
            return torch.zeros(shape, dtype=like.dtype, device=like.device)
        values, index = store[adapter], getattr(self, f"apet_{part}_index")[adapter]
        return values.new_zeros(math.prod(shape)).index_add(0, index, values).view(shape)

    def adapt(self, adapter: str, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        if adapter in self.apet_weight or adapter in self.apet_bias:
            return super().adapt(adapter, x, output)
        return output  # nothing of this layer was chosen

    def update(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        layer, bias = self.get_base_layer(), self.bias_delta(adapter)
        if isinstance(layer, nn.LayerNorm):
            delta = self.delta(adapter)
            return functional.layer_norm(x, layer.normalized_shape, delta, bias, layer.eps)
        if bias is not None and len(self.shape) > 2:
            bias = bias.view(-1, *[1] * (len(self.shape) - 2))
        if adapter not in self.apet_weight:
            assert bias is not None
            return bias
        values, index = self.apet_weight[adapter], self.apet_weight_index[adapter]
        if isinstance(layer, nn.Linear):
            rows, columns = index // self.shape[1], index % self.shape[1]
            moved = SparseProduct.apply(x, values, rows, columns, self.shape)
        elif type(layer).__name__ == "Conv1D":  # stores the transpose
            rows, columns = index % self.shape[0], index // self.shape[0]
            moved = SparseProduct.apply(x, values, rows, columns, self.shape)
        else:
            moved = self.apply_weight(x, self.delta(adapter))
        return moved if bias is None else moved + bias

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        dense = super().supports_lora_conversion(adapter_name)
        return dense and adapter_name not in self.apet_bias


class SparseProduct(torch.autograd.Function):
    """x D^T for D (out, in) that is zero but for some scalars.

    Keeps x, the values and their places for the backward pass, nothing of D's size. Few scalars
    are gathered and scattered, in room for one more input or output; more of them are a sparse
    matrix of torch's where it has products with one; otherwise D and the gradient of it are formed
    for the moment of their product.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        values: torch.Tensor,
        rows: torch.Tensor,
        columns: torch.Tensor,
        shape: tuple[int, int],
    ) -> torch.Tensor:
        ctx.save_for_backward(x, values, rows, columns)
        ctx.shape = shape
        return _times(x, values, columns, rows, (shape[1], shape[0]))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, values, rows, columns = ctx.saved_tensors
        (gradient,) = gradients
        to_x = to_values = None
        if ctx.needs_input_grad[0]:
            to_x = _times(gradient, values, rows, columns, ctx.shape)
        if ctx.needs_input_grad[1]:
            flat, inputs = gradient.flatten(0, -2), x.flatten(0, -2)
            if len(values) <= max(ctx.shape):
                chosen = flat.T.index_select(0, rows) * inputs.T.index_select(0, columns)
                to_values = chosen.sum(1)
            elif _takes_sparse(x, values, ctx.shape):
                to_values = product_at(flat, inputs, rows, columns)
            else:
                to_values = (flat.T @ inputs).flatten()[rows.long() * ctx.shape[1] + columns]
        return to_x, to_values, None, None, None


def _times(
    x: torch.Tensor,
    values: torch.Tensor,
    read: torch.Tensor,
    write: torch.Tensor,
    shape: tuple[int, int],
) -> torch.Tensor:
    """y[..., write] += values * x[..., read] for x of last size ``shape[0]``, y of ``shape[1]``."""
    flat = x.flatten(0, -2)
    if len(values) <= max(shape):
        moved = flat.T.index_select(0, read) * values[:, None]
        found = moved.new_zeros(shape[1], len(flat)).index_add_(0, write, moved).T
    elif _takes_sparse(x, values, shape):
        found = sparse_times(flat, values, read, write, shape[1])
    else:
        dense = values.new_zeros(shape[0] * shape[1])
        dense[read.long() * shape[1] + write] = values
        found = flat @ dense.view(shape)
    # In rows again: sums with a transposed tensor are several times slower.
    return found.contiguous().view(*x.shape[:-1], shape[1])


def _takes_sparse(x: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> bool:
    """Whether torch can multiply by so sparse a matrix, and sooner than by a dense one.

    At a sixteenth of the scalars both took the same time on a CPU.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == values.dtype
        and x.dtype in (torch.float32, torch.float64)
        and torch.backends.mkl.is_available()
        and 16 * len(values) <= math.prod(shape)
    )


# Operators of their own, so that tracing on fake tensors and counting FLOPs see through them.
@torch.library.custom_op("parsimony::sparse_times", mutates_args=())
def sparse_times(
    x: torch.Tensor, values: torch.Tensor, read: torch.Tensor, write: torch.Tensor, outputs: int
) -> torch.Tensor:
    """y[:, write] += values * x[:, read] by a sparse matrix; (rows, in) -> (rows, outputs)."""
    matrix, _ = _sparse(values, write, read, (outputs, x.shape[1]))
    return torch.sparse.mm(matrix, x.T).T.contiguous()


@torch.library.custom_op("parsimony::product_at", mutates_args=())
def product_at(
    x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """The entries of x^T y at some places, one for each, without the others."""
    pattern, order = _sparse(x.new_zeros(len(rows)), rows, columns, (x.shape[1], y.shape[1]))
    found = torch.sparse.sampled_addmm(pattern, x.T, y, beta=0.0).values()
    return torch.empty_like(found).index_copy_(0, order, found)


@sparse_times.register_fake
def _(x: Any, values: Any, read: Any, write: Any, outputs: int) -> torch.Tensor:
    made: torch.Tensor = x.new_empty(len(x), outputs)
    return made


@product_at.register_fake
def _(x: Any, y: Any, rows: Any, columns: Any) -> torch.Tensor:
    made: torch.Tensor = x.new_empty(len(rows))
    return made


@register_flop_formula([torch.ops.parsimony.sparse_times, torch.ops.parsimony.product_at])  # type: ignore[untyped-decorator]
def _flops(x: torch.Size, other: torch.Size, places: torch.Size, *_: Any, **__: Any) -> int:
    """A multiplication and an addition for every row and place."""
    return 2 * x[0] * places[0]


def _sparse(
    values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrix (rows, columns) in torch's CSR form, and the order that its values have in it."""
    order = rows.argsort(stable=True)
    starts = torch.searchsorted(rows[order], torch.arange(shape[0] + 1, dtype=rows.dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the form a beta
        matrix = torch.sparse_csr_tensor(
            starts.to(columns.dtype), columns[order], values[order], shape
        )
    return matrix, order


@register(ApetConfig)
class ApetModel(AdapterTuner):
    """peft's tuner of ``ApetConfig``."""

    tuner_layer_cls = ApetLayer

    def check_together(self, config: ApetConfig, targets: dict[str, nn.Module]) -> None:
        config.chosen = choose(config, _pool(config, targets))


def _pool(config: ApetConfig, targets: dict[str, nn.Module]) -> list[Entry]:
    pool: list[Entry] = []
    seen: dict[int, str] = {}
    for path, layer in targets.items():
        for part in PARTS if config.biases else PARTS[:1]:
            tensor, name = getattr(layer, part, None), f"{path}.{part}"
            if tensor is None:
                continue
            if id(tensor) in seen:
                warnings.warn(
                    f"{name} is {seen[id(tensor)]}: counted once, and trained in the latter only",
                    stacklevel=2,
                )
                continue
            seen[id(tensor)] = name
            pool.append(Entry(name, tensor))
    return pool


def places(model: peft.PeftModel, adapter: str = "default") -> pd.DataFrame:
    """Where an adapter trains: ``tensor``, ``size`` and ``trained`` scalars of each touched one.

    ``trained`` sums to the budget obtained; ``model.peft_config[adapter].budget`` was asked for.
    """
    rows = []
    for layer in model.modules():
        if isinstance(layer, ApetLayer):
            for part in PARTS:
                store = getattr(layer, f"apet_{part}")
                if adapter in store:
                    size = getattr(layer.get_base_layer(), part).numel()
                    rows.append((f"{layer.path}.{part}", size, store[adapter].numel()))
    return pd.DataFrame(rows, columns=["tensor", "size", "trained"])
