"""What a method of adaptation is: a peft configuration of a given size, and its learning rates.

A method is one file in ``adapt/methods`` with one concrete subclass of ``Method``. Nothing lists
it: ``methods()`` finds it, and so do the search, the command line and the contract in
``parsimony.testing``. Outside packages add theirs under the entry-point group
``parsimony.adapt`` (the value names a module).
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import peft
import torch
from torch import nn
from transformers import PretrainedConfig

from parsimony.core import cost, peft_border, pretrained
from parsimony.core.errors import InputError, nearest
from parsimony.core.registry import discover


@dataclass(frozen=True)
class Facts:
    """What a method may ask about the model it adapts.

    Attributes:
        config: the model's config.
        task: see ``core.data.Task``.
        head: names of the task head's modules.
        linear: (inputs, outputs) of every linear layer outside the head, by full name.
        norms: full names of the normalisation layers.
    """

    config: PretrainedConfig
    task: str
    head: tuple[str, ...]
    linear: dict[str, tuple[int, int]]
    norms: tuple[str, ...]

    @classmethod
    def of(cls, config: PretrainedConfig, task: str) -> Facts:
        """Read them off the architecture on the meta device."""
        model = cost.on_meta(lambda: pretrained.build(config, task))
        head = peft_border.head_modules(model)
        return cls(
            config,
            task,
            tuple(head),
            peft_border.linear_modules(model, head),
            tuple(peft_border.norm_modules(model)),
        )

    @property
    def task_type(self) -> str:
        """peft's name of the task."""
        return peft_border.TASK_TYPES[self.task]

    def targeted(self, targets: list[str] | str) -> dict[str, tuple[int, int]]:
        """The linear layers that peft's ``target_modules`` would match."""
        if isinstance(targets, str):
            return self.linear
        return {
            name: shape
            for name, shape in self.linear.items()
            if any(name == target or name.endswith(f".{target}") for target in targets)
        }


class Method(ABC):
    """A way to adapt a model.

    Attributes:
        name: as the user types it.
        source: where it was published.
        size_name: what the size knob is called; ``None`` when there is none.
        learning_rates: lowest and highest rate worth trying; the search starts in their
            geometric middle.
        baseline: always carried to the final comparison.
        full: trains the base model itself, so the result is a model, not an adapter.
        mergeable: the result can be folded into the base weights without changing the outputs.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    size_name: ClassVar[str | None] = None
    learning_rates: ClassVar[tuple[float, float]]
    baseline: ClassVar[bool] = False
    full: ClassVar[bool] = False
    mergeable: ClassVar[bool] = True

    def refusal(self, facts: Facts) -> str | None:
        """Why the method cannot adapt this model, or ``None``."""
        return None

    def sizes(self, facts: Facts) -> list[int]:
        """Sizes to choose from, ascending; ``[0]`` where there is no knob."""
        return [0]

    @abstractmethod
    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        """peft's configuration of this method at this size."""

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        """Wrap ``model`` so that just this method's parameters and the head train.

        The adapter's initial values depend on ``seed`` alone.
        """
        torch.manual_seed(seed)
        return peft.get_peft_model(model, self.config(facts, size, dropout))


RANKS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]


class LowRank(Method):
    """Shared by the methods whose size is a rank on peft's default target modules."""

    size_name = "r"
    # Around 3e-4 to 3e-3, the rates published for LoRA on large and small models; the scale of
    # the update is kept independent of the rank (alpha = 2 r), so one range serves all ranks.
    learning_rates = (5e-4, 1e-2)

    def targets(self, facts: Facts) -> list[str] | str:
        return peft_border.default_targets(facts.config)

    def sizes(self, facts: Facts) -> list[int]:
        shapes = facts.targeted(self.targets(facts)).values()
        largest = min((min(shape) for shape in shapes), default=0)
        return [rank for rank in RANKS if rank <= largest]


@functools.cache
def methods() -> dict[str, Method]:
    """Every method found, by name."""
    found = discover("parsimony.adapt.methods", Method, group="parsimony.adapt")
    return {name: cls() for name, cls in found.items()}


def method(name: str) -> Method:
    """The method called ``name``.

    Raises:
        InputError: there is none; the nearest is named.
    """
    if name not in methods():
        raise InputError("unknown method", got=name, hint=nearest(name, methods()))
    return methods()[name]
