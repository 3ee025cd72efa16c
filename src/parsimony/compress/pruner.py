"""What a way to prune is, and what is to be pruned.

A method is one file in ``compress/prune`` with one concrete subclass of ``Pruner``; ``pruners()``
finds it. Outside packages add theirs under the entry-point group ``parsimony.prune``.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from parsimony.compress.walk import Statistic
from parsimony.core.errors import InputError, nearest
from parsimony.core.pruning_schedule import check_sparsity
from parsimony.core.registry import discover

ROW, LAYER, MODEL = SCOPES = ("row", "layer", "model")


@dataclass(frozen=True)
class Target:
    """How much of a matrix goes.

    Attributes:
        sparsity: share that is removed, in [0, 1).
        pattern: (n, m): of every m consecutive inputs of an output, n are removed; ``None`` for
            no pattern.
        scope: among which weights scores are compared: ``"row"`` of one output, ``"layer"``, or
            the whole ``"model"``; without meaning under a pattern.

    Raises:
        InputError: a share outside [0, 1); a pattern that does not remove that share; an unknown
            scope.
    """

    sparsity: float
    pattern: tuple[int, int] | None = None
    scope: str = LAYER

    def __post_init__(self) -> None:
        if self.pattern is not None and not 0 < self.pattern[0] < self.pattern[1]:
            n, m = self.pattern
            raise InputError("a pattern n:m removes n of every m, 0 < n < m", got=f"{n}:{m}")
        check_sparsity(self.sparsity)
        if self.scope not in SCOPES:
            raise InputError("unknown scope", got=self.scope, hint=nearest(self.scope, SCOPES))
        if self.pattern is not None:
            n, m = self.pattern
            if abs(self.sparsity - n / m) > 1e-9:
                raise InputError(
                    f"the pattern {n}:{m} removes {n / m:g} of the weights, no other share",
                    got=self.sparsity,
                    hint=f"Leave the share out, or give {n / m:g}",
                )

    @classmethod
    def parse(cls, text: str, scope: str = LAYER) -> Target:
        """Read ``0.5``, ``50%``, ``2:4`` or, with a scope, ``0.5:model``.

        Args:
            text: as the user wrote it.
            scope: where the text names none.

        Raises:
            InputError: none of these.
        """
        share = re.fullmatch(r"(\d*\.?\d+)(%?)(?::([a-z]+))?", text.strip())
        if share:
            value = float(share[1]) / (100 if share[2] else 1)
            return cls(value, scope=share[3] or scope)
        if pattern := re.fullmatch(r"(\d+):(\d+)", text.strip()):
            n, m = int(pattern[1]), int(pattern[2])
            return cls(n / m if m else 0.0, (n, m))
        raise InputError(
            "what to prune is a share such as 0.5 or 50%, one with a scope such as 0.5:model, or "
            "a pattern such as 2:4",
            got=text,
        )

    def check(self, name: str, width: int) -> None:
        """Refuse a layer that the pattern does not divide.

        Args:
            name: of the layer.
            width: its inputs.

        Raises:
            InputError: with the layer.
        """
        if self.pattern and width % self.pattern[1]:
            n, m = self.pattern
            raise InputError(
                f"{name}: the pattern {n}:{m} needs a multiple of {m} inputs",
                got=width,
                hint="Give a share instead, or another pattern",
            )


def keep(scores: Tensor, target: Target) -> Tensor:
    """The keep-mask with the largest scores, exactly the asked number of them.

    Args:
        scores: [outputs, inputs], higher is kept; ties are kept by place.
        target: ``scope`` is ``"row"`` or ``"layer"``.

    Returns:
        bool [outputs, inputs].
    """
    if target.pattern:
        n, m = target.pattern
        grouped = scores.reshape(scores.shape[0], -1, m)
        order = grouped.argsort(dim=-1, descending=True, stable=True)
        kept = torch.zeros_like(grouped, dtype=torch.bool)
        kept.scatter_(-1, order[..., : m - n], True)
        return kept.reshape(scores.shape)
    if target.scope == ROW:
        removed = round(scores.shape[1] * target.sparsity)
        order = scores.argsort(dim=1, descending=True, stable=True)
        return torch.ones_like(scores, dtype=torch.bool).scatter_(
            1, order[:, scores.shape[1] - removed :], False
        )
    count = scores.numel() - round(scores.numel() * target.sparsity)
    return largest(scores.reshape(-1), count).reshape(scores.shape)


def largest(scores: Tensor, count: int) -> Tensor:
    """Which of ``scores``, [n], are the ``count`` largest; of equal ones the first.

    By selection, which is faster than a sort of all.
    """
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    least = scores.kthvalue(len(scores) - count + 1).values
    kept = scores > least
    ties = (scores == least).nonzero().squeeze(1)
    kept[ties[: count - int(kept.sum())]] = True
    return kept


class Pruner(ABC):
    """One way to choose which weights of a matrix go.

    Attributes:
        name: as users write it.
        statistic: what it must see of a layer's inputs; ``None`` for a method without data.
        scope: among which weights it compares by default, see ``Target``.
        sees_dense: whether what a layer reads is seen while its block is not pruned yet; else the
            layers that are called before it are.
    """

    name: ClassVar[str]
    statistic: ClassVar[type[Statistic] | None] = None
    scope: ClassVar[str] = LAYER
    sees_dense: ClassVar[bool] = False

    @abstractmethod
    def prune(
        self, weight: Tensor, seen: Statistic | None, target: Target, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Choose, and change what is kept where the method does.

        Args:
            weight: [outputs, inputs], float32; not to be changed.
            seen: ``statistic`` of the inputs.
            target: how much goes; ``scope`` is not ``"model"`` where there is a ``statistic``.
            generator: for random choices.

        Returns:
            (weight with zeros in it, keep-mask), both [outputs, inputs].
        """


class Scorer(Pruner):
    """A pruner that keeps the weights with the largest scores as they are."""

    @abstractmethod
    def scores(self, weight: Tensor, seen: Statistic | None, generator: torch.Generator) -> Tensor:
        """[outputs, inputs]; higher is kept. Arguments as in ``prune``."""

    def prune(
        self, weight: Tensor, seen: Statistic | None, target: Target, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        mask = keep(self.scores(weight, seen, generator), target)
        return weight * mask, mask


@functools.cache
def pruners() -> dict[str, type[Pruner]]:
    """Every way to prune by name."""
    return discover("parsimony.compress.prune", Pruner, "parsimony.prune")


def pruner(name: str) -> Pruner:
    """The one of this name.

    Raises:
        InputError: there is none.
    """
    if name not in pruners():
        raise InputError("unknown way to prune", got=name, hint=nearest(name, pruners()))
    return pruners()[name]()
