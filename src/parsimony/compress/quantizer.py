"""What a way to quantize is: a rounding, and before it a transform that changes no output.

A mechanism is one file in ``compress/quantize`` with a concrete subclass of ``Rounding`` or
``Transform``; ``roundings()`` and ``transforms()`` find it. Outside packages add theirs under the
entry-point group ``parsimony.quantize``. Users write both, and the grid, in one line: see ``Spec``.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from parsimony.compress.grid import Codes, Grid, fake_quantize_tokens
from parsimony.compress.walk import Block, Group, Statistic
from parsimony.core.errors import InputError, nearest
from parsimony.core.registry import discover

Clip = float | Tensor
"""Share of a range that the grid covers, in (0, 1]; a tensor has shape [outputs, groups, 1]."""

_TAIL = re.compile(r"w([0-9]+)(g[0-9]+)?(?:a([0-9]+))?(-asym)?")
_PLAIN = 16  # bits of activations that are left alone, as in w4a16


class Coded(Protocol):
    """A quantized weight, such as ``Codes`` of a grid or those of a code book."""

    def weight(self, dtype: torch.dtype | None = None) -> Tensor:
        """What the codes stand for, [outputs, inputs]."""
        ...


@dataclass(frozen=True)
class Call:
    """What a rounding is told about one layer beside its weight.

    Attributes:
        name: of the layer.
        grid: a ``Grid``, or what a code book has in its place.
        dtype: of the stored scales and of the layer.
        seen: the rounding's ``statistic`` of the inputs.
        mask: keep-mask [outputs, inputs]; what it removes is zero and stays so.
        clip: see ``Clip``.
    """

    name: str
    grid: Any
    dtype: torch.dtype
    seen: Statistic | None = None
    mask: Tensor | None = None
    clip: Clip = 1.0


class Rounding(ABC):
    """One way to turn a matrix into codes of a uniform grid.

    Attributes:
        name: as users write it.
        statistic: what it must see of a layer's inputs; ``None`` for a method without data.
    """

    name: ClassVar[str]
    statistic: ClassVar[type[Statistic] | None] = None

    @classmethod
    def takes(cls, text: str) -> bool:
        """Whether a user who writes ``text`` means this one."""
        return text == cls.name

    @classmethod
    def grid(cls, head: str, tail: str) -> tuple[Any, int | None]:
        """Read grid and bits of activations from the two sides of the colon.

        Raises:
            InputError: not such a text.
        """
        match = _TAIL.fullmatch(tail)
        if match is None:
            raise InputError(
                f"{cls.name} is written with a grid: w and the bits, then g and the group if it "
                "has one, a and the bits of activations if they are rounded, -asym if asymmetric",
                got=f"{head}:{tail}" if tail else head,
                hint=f"Examples: {cls.name}:w4g128, {cls.name}:w8a8, {cls.name}:w3g64-asym",
            )
        bits, group, activations, asymmetric = match.groups()
        grid = Grid.parse(f"{bits}{group or ''}{asymmetric or ''}")
        found = int(activations or _PLAIN)
        if found == _PLAIN:
            return grid, None
        if not 2 <= found <= 8:
            raise InputError("activations have 2 to 8 bits, or 16 for none", got=found)
        return grid, found

    @abstractmethod
    def round(self, weight: Tensor, call: Call) -> tuple[Coded, str]:
        """Codes, and a note for the user, empty if there is nothing to say.

        Args:
            weight: [outputs, inputs], float32 (or float64); not to be changed.
            call: about the layer.

        Raises:
            InputError: what the grid refuses.
        """

    def check(self, grid: Any, weight: Tensor, name: str) -> None:
        """Refuse a layer that the grid does not fit, by name, before anything is changed.

        Args:
            grid: see ``Call``.
            weight: [outputs, inputs].
            name: of the layer.

        Raises:
            InputError: a group that does not divide the inputs.
        """
        grid.groups(weight.shape[1], name)

    def inputs(self, activations: int | None, clip: float) -> Callable[[Tensor], Tensor] | None:
        """What layers compute with in place of their inputs; ``None`` for the inputs themselves.

        Args:
            activations: bits.
            clip: of a token's range.
        """
        if activations is None:
            return None
        return functools.partial(fake_quantize_tokens, bits=activations, clip=clip)

    def pack(self, codes: Any) -> dict[str, Tensor]:
        """The tensors of codes, to be stored; ``unpack`` reads them."""
        zero = {} if codes.zero is None else {"zero": codes.zero}
        return {"values": codes.values, "scale": codes.scale, **zero}

    def unpack(self, tensors: Mapping[str, Tensor], grid: Any, weight: Tensor) -> Coded:
        """The codes that ``pack`` took apart; ``weight`` is what they stand for."""
        return Codes(tensors["values"], tensors["scale"], tensors.get("zero"), grid)


@dataclass(frozen=True)
class Folded:
    """What a transform did to one block.

    Attributes:
        tensors: all that ``attach`` needs, by a name of the transform's own.
        clips: by layer, see ``Clip``.
        skipped: layers that it could do nothing for.
        report: JSON values.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    clips: Mapping[str, Clip] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    report: Mapping[str, Any] = field(default_factory=dict)


class Transform(ABC):
    """Changes weights so that they, or the activations, are easier to round, and no output.

    Attributes:
        name: as users write it.
        keeps_zeros: whether a pruned weight is still zero afterwards.
        exportable: whether all it does is in the weights; else it computes on activations.
    """

    name: ClassVar[str]
    keeps_zeros: ClassVar[bool] = True
    exportable: ClassVar[bool] = True

    def prepare(self, model: nn.Module, windows: Tensor, seed: int) -> list[str]:
        """Change the whole model in place, before its first block.

        Args:
            model: with unchanged weights.
            windows: a few, to run it with, [windows, window].
            seed: of random choices.

        Returns:
            Notes for the user.

        Raises:
            InputError: a model that the transform would not leave with the same output.
        """
        return []

    def fold(self, block: Block, groups: Sequence[Group], grid: Grid, seed: int) -> Folded:
        """Change one block in place, seeing what the rounded blocks before it produce.

        Args:
            block: that is not rounded yet.
            groups: its linear layers by the input they share.
            grid: of the weights.
            seed: of random choices, of this block's own.
        """
        return Folded()

    def attach(  # noqa: B027 (nothing, for a transform that is in the weights)
        self, layers: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]
    ) -> None:
        """Let a block whose weights were read from a journal compute as ``fold`` left it.

        Args:
            layers: of the model, by name.
            tensors: those of ``Folded``.
        """

    def activation_clip(self, bits: int) -> float:
        """Share of a token's range that the grid of activations of so many bits covers."""
        return 1.0


@dataclass(frozen=True)
class Spec:
    """What is done to the layers of a model.

    Written ``[TRANSFORM+]ROUNDING:wBITS[gGROUP][aBITS][-asym]``: ``rtn:w4g128``,
    ``gptq:w4g128-asym``, ``quarot+gptq:w4a4``. A transform alone rounds to the nearest:
    ``smoothquant:w8a8``. Code books have no grid: ``nf4``, ``nf4-dq``, ``fp4``, ``int8``.
    Activations are rounded symmetrically, a scale per token.

    Attributes:
        rounding: of the weights.
        grid: of the weights; a ``Grid`` or what a code book has in its place.
        transform: before the rounding.
        activations: bits, ``None`` for activations as they are.
    """

    rounding: Rounding
    grid: Any
    transform: Transform | None = None
    activations: int | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read such a line.

        Raises:
            InputError: an unknown name, with the nearest; a transform of a code book, or two; a
                grid that there is not.
        """
        head, _, tail = text.strip().lower().partition(":")
        names = head.split("+")
        if names[-1] in transforms():
            names.append("rtn")
        *before, last = names
        rounding = next((r for r in roundings().values() if r.takes(last)), None)
        unknown = [name for name in before if name not in transforms()]
        for name in unknown + ([] if rounding else [last]):
            known = [*roundings(), *transforms()]
            raise InputError("unknown way to quantize", got=name, hint=nearest(name, known))
        assert rounding is not None
        if len(before) > 1:
            raise InputError("one transform may stand before a rounding", got=text)
        grid, activations = rounding.grid(last, tail)
        if before and not isinstance(grid, Grid):
            raise InputError(
                "transforms are for weights on a uniform grid", got=text, hint=f"Write {grid}"
            )
        transform = transforms()[before[0]]() if before else None
        return cls(rounding(), grid, transform, activations)

    def __str__(self) -> str:
        transform = f"{self.transform.name}+" if self.transform else ""
        if not isinstance(self.grid, Grid):
            return str(self.grid)
        size, _, asymmetric = str(self.grid).partition("-")
        activations = f"a{self.activations}" if self.activations else ""
        tail = f"w{size}{activations}{'-asym' if asymmetric else ''}"
        return f"{transform}{self.rounding.name}:{tail}"

    @property
    def needs_data(self) -> bool:
        """Whether calibration windows are needed."""
        return self.transform is not None or self.rounding.statistic is not None

    @property
    def exportable(self) -> bool:
        """Whether the codes and the model's own parameters are all that is needed to compute."""
        return self.transform is None or self.transform.exportable


@functools.cache
def roundings() -> dict[str, type[Rounding]]:
    """Every rounding by name."""
    return discover("parsimony.compress.quantize", Rounding, "parsimony.quantize")  # type: ignore[type-abstract]


@functools.cache
def transforms() -> dict[str, type[Transform]]:
    """Every transform by name."""
    return discover("parsimony.compress.quantize", Transform, "parsimony.quantize")  # type: ignore[type-abstract]
