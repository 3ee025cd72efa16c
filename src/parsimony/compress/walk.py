"""Go through a model block by block: what each block reads, what its layers see, what it passes on.

Only the activations between two blocks are kept, for all calibration windows; the next block sees
what the changed blocks before it produce. Nothing is known about architectures: what a block is
called with, and which linear layers read the same input, is seen when it runs. All keyword
arguments are passed through, as newer versions of transformers ask for (positions, masks).
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from parsimony.core import layers
from parsimony.core.errors import InputError
from parsimony.core.prunable import is_linear

S = TypeVar("S", bound="Statistic")


def matrix(layer: nn.Module) -> Tensor:
    """The weight of a linear layer as [outputs, inputs], a view that shares its memory."""
    weight: Tensor = layer.weight.data  # type: ignore[assignment,union-attr]
    return weight if isinstance(layer, nn.Linear) else weight.T


class Statistic(ABC):
    """Something about the inputs of a linear layer that is summed up window by window.

    Args:
        width: inputs of the layer.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in more ``inputs``, [..., width]."""
        flat = inputs.detach().reshape(-1, self.width)
        self.tokens += len(flat)
        self.take(flat)

    @abstractmethod
    def take(self, inputs: Tensor) -> None:
        """Take in ``inputs``, [tokens, width]."""


@dataclass(frozen=True, eq=False)
class Group:
    """Linear layers of one block that read the same input, such as queries, keys and values.

    Attributes:
        layers: by full name in the model, in the order of their calls.
        source: full name of the module of the block whose output they read, a norm as a rule;
            ``None`` where it is none (an activation, an attention).
    """

    layers: Mapping[str, nn.Module]
    source: str | None

    @property
    def width(self) -> int:
        return matrix(next(iter(self.layers.values()))).shape[1]


@dataclass(eq=False)
class Block:
    """One block, and what it reads.

    Attributes:
        index: its place among the blocks.
        name: full path in the model.
        module: the block itself.
        inputs: of all windows, [windows, window, width].
        batch: windows at a time.
    """

    index: int
    name: str
    module: nn.Module
    inputs: Tensor
    batch: int
    _calls: Mapping[int, tuple[tuple[Any, ...], dict[str, Any]]] = field(repr=False)

    def batches(self) -> Iterator[slice]:
        """Which windows go through the block together."""
        for start in range(0, len(self.inputs), self.batch):
            yield slice(start, min(start + self.batch, len(self.inputs)))

    def run(self, which: slice) -> Tensor:
        """What the block makes of some windows; with gradients where they are switched on."""
        return self.forward(self.inputs[which])

    def forward(self, inputs: Tensor) -> Tensor:
        """What the block makes of [windows, window, width]; as many windows as a batch has."""
        args, kwargs = self._calls[len(inputs)]
        output = self.module(inputs, *args, **kwargs)
        found: Tensor = output if isinstance(output, Tensor) else output[0]
        return found

    @torch.no_grad()
    def outputs(self) -> Tensor:
        """What the block makes of all windows, shaped like ``inputs``."""
        found = torch.empty_like(self.inputs)
        for which in self.batches():
            found[which] = self.run(which)
        return found

    @torch.no_grad()
    def error(self, wanted: Tensor) -> float:
        """Mean squared difference of what the block makes of all windows to ``wanted``."""
        total = sum(
            float((self.run(w) - wanted[w]).double().square().sum()) for w in self.batches()
        )
        return total / wanted.numel()

    @torch.no_grad()
    def groups(self) -> list[Group]:
        """The block's linear layers by the input they share, in the order of their calls."""
        made: dict[int, str] = {}  # id of a tensor -> the module that made it
        found: list[tuple[Tensor, dict[str, nn.Module]]] = []
        alive: list[Tensor] = []  # so that no id is used twice

        def note_output(name: str) -> Any:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                if isinstance(output, Tensor):
                    made.setdefault(id(output), name)  # a dropout hands on what it was given
                    alive.append(output)

            return hook

        def note_input(name: str) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
                (inputs,) = args[:1]
                alive.append(inputs)
                for seen, members in found:
                    if seen is inputs:
                        members[name] = module
                        return
                found.append((inputs, {name: module}))

            return hook

        handles = []
        for name, module in self.module.named_modules(prefix=self.name):
            if is_linear(module):
                handles.append(module.register_forward_pre_hook(note_input(name)))
            elif not next(module.children(), None):
                handles.append(module.register_forward_hook(note_output(name)))
        try:
            self.run(next(self.batches()))
        finally:
            for handle in handles:
                handle.remove()
        return [Group(members, made.get(id(seen))) for seen, members in found]

    @torch.no_grad()
    def observe(self, group: Group, statistic: type[S]) -> S:
        """Sum up what a group reads over all windows, with the block as it is now."""
        found = statistic(group.width)
        layer = next(iter(group.layers.values()))

        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            found.add(args[0])
            raise _Stopped

        handle = layer.register_forward_pre_hook(hook)
        try:
            for which in self.batches():
                with contextlib.suppress(_Stopped):
                    self.run(which)
        finally:
            handle.remove()
        return found


class _Stopped(Exception):  # noqa: N818 (no fault)
    """The forward pass got as far as was wanted."""


class Walk:
    """Blocks in order; what was done to one before ``advance`` is seen by the next.

    Args:
        model: a transformers model whose blocks hand a hidden state on to each other; it is put
            into evaluation mode.
        windows: token ids without padding, [windows, window].
        batch: windows at a time.
        hidden: what the first block that is asked for reads, where the walk begins further on.

    Attributes:
        layers: the model's blocks, see ``core.layers.find``.
        hidden: what the next block reads, [windows, window, width].

    Raises:
        InputError: an encoder-decoder; blocks that are not run once each, or whose other
            arguments depend on the text.
    """

    def __init__(
        self, model: nn.Module, windows: Tensor, batch: int = 8, hidden: Tensor | None = None
    ) -> None:
        if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
            raise InputError(
                "a walk needs blocks that read nothing but each other",
                got=type(model).__name__,
                hint="Encoder-decoder models cannot be calibrated block by block",
            )
        model.eval()
        self.layers = layers.find(model)
        self._batch = batch
        self._windows = windows
        self._calls = self._record(model)
        self.hidden = self._first(model) if hidden is None else hidden

    def block(self, index: int) -> Block:
        """A block with the current hidden state as its input."""
        layer = self.layers[index]
        calls = {size: made[index] for size, made in self._calls.items()}
        return Block(index, layer.name, layer.module, self.hidden, self._batch, calls)

    @torch.no_grad()
    def advance(self, block: Block) -> None:
        """Replace the hidden state by what ``block`` makes of it, batch by batch."""
        for which in block.batches():
            output = block.run(which)
            if output.shape != self.hidden[which].shape:
                raise InputError(
                    "a block must hand on a hidden state of the shape it read",
                    got=f"{tuple(output.shape)} from {block.name}",
                )
            self.hidden[which] = output

    def _record(self, model: nn.Module) -> dict[int, list[tuple[tuple[Any, ...], dict[str, Any]]]]:
        """What every block is called with beside the hidden state, by number of windows."""
        sizes = {min(self._batch, len(self._windows)), len(self._windows) % self._batch} - {0}
        found = {}
        for size in sorted(sizes):
            first, last = self._windows[:size], self._windows[-size:]
            found[size] = self._calls_of(model, first)
            if not _same(found[size], self._calls_of(model, last)):
                raise InputError(
                    "what blocks are called with, beside their input, must not depend on the text",
                    got=type(model).__name__,
                    hint="Such a model cannot be calibrated block by block",
                )
        return found

    @torch.no_grad()
    def _calls_of(
        self, model: nn.Module, ids: Tensor
    ) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.append((args[1:], {k: v for k, v in kwargs.items() if k != "hidden_states"}))

        handles = [
            layer.module.register_forward_pre_hook(hook, with_kwargs=True) for layer in self.layers
        ]
        try:
            _call(model, ids)
        finally:
            for handle in handles:
                handle.remove()
        if len(calls) != len(self.layers):
            raise InputError(
                f"each of the {len(self.layers)} blocks must run once in a forward pass",
                got=len(calls),
            )
        return calls

    @torch.no_grad()
    def _first(self, model: nn.Module) -> Tensor:
        """What the first block reads, of all windows."""
        seen: list[Tensor] = []

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(args[0] if args else kwargs["hidden_states"])
            raise _Stopped

        found = torch.empty(0)
        handle = self.layers[0].module.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            for start in range(0, len(self._windows), self._batch):
                which = slice(start, start + self._batch)
                with contextlib.suppress(_Stopped):
                    _call(model, self._windows[which])
                read = seen.pop()
                if not start:  # filled in place: two copies would not be bounded memory
                    found = read.new_empty(len(self._windows), *read.shape[1:])
                found[which] = read
        finally:
            handle.remove()
        return found


def _call(model: nn.Module, ids: Tensor) -> None:
    device = next(model.parameters()).device
    config = getattr(model, "config", None)
    caching = {"use_cache": False} if getattr(config, "use_cache", False) else {}
    model(input_ids=ids.to(device), **caching)


def _same(first: Any, second: Any) -> bool:
    """Whether two nests of tensors and plain values are equal."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return all(_same(value, second[key]) for key, value in first.items())
    if isinstance(first, list | tuple):
        return all(_same(a, b) for a, b in zip(first, second, strict=True))
    return True
