"""What a method of adaptation is: a peft configuration of a given size, and its learning rates.

A method is one file in ``adapt/methods`` with one concrete subclass of ``Method``. Nothing lists
it: ``methods()`` finds it, and so do the search, the command line and the contract in
``parsimony.testing``. Outside packages add theirs under the entry-point group
``parsimony.adapt`` (the value names a module).
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from inspect import signature
from typing import ClassVar

import peft
import torch
from torch import nn
from transformers import PretrainedConfig, TrainerCallback

from parsimony.core import cost, peft_border, pretrained
from parsimony.core.errors import InputError, nearest
from parsimony.core.registry import discover

# A head is drawn at random and must travel further than an adapter does. On MiniLM (width 384)
# rates around 2e-2 gave LoRA 0.65 where one common rate of 3e-3 gave 0.47; the rate of an output
# layer scales with 1 / width (muP: Yang et al. 2022, arXiv 2203.03466, table 8).
HEAD_RATE = 8.0


@dataclass(frozen=True)
class Facts:
    """What a method may ask about the model it adapts.

    Attributes:
        config: the model's config.
        task: see ``core.data.Task``.
        head: names of the task head's modules.
        linear: (inputs, outputs) of every linear layer outside the head, by full name.
        conv1d: those of ``linear`` that are GPT-2's Conv1D, which some of peft's tuners refuse.
        biased: those of ``linear`` that have a bias.
        norms: full names of the normalisation layers.
        embedding: length of a token's input vector; 0 where tokens are not words but patches.
        cached: the model takes keys and values of earlier positions.
        examples: token ids of training rows that may be shown: prompts with their whole answers;
            none where the task has no such rows, or the data are not at hand.
    """

    config: PretrainedConfig
    task: str
    head: tuple[str, ...]
    linear: dict[str, tuple[int, int]]
    conv1d: tuple[str, ...]
    biased: tuple[str, ...]
    norms: tuple[str, ...]
    embedding: int
    cached: bool
    examples: tuple[list[int], ...] = ()

    @classmethod
    def of(cls, config: PretrainedConfig, task: str) -> Facts:
        """Read them off the architecture on the meta device."""
        model = cost.on_meta(lambda: pretrained.build(config, task))
        # peft saves every module whose name ends like the head's, "pre_classifier" among them.
        endings = tuple(peft_border.head_modules(model))
        parts = {part for name, _ in model.named_modules() for part in name.split(".")}
        head = {part for part in parts if endings and part.endswith(endings)}

        def outside(name: str) -> bool:
            return not head & set(name.split("."))

        linear = {
            name: shape
            for name, shape in peft_border.linear_modules(model, sorted(head)).items()
            if outside(name)
        }
        layers = {name: model.get_submodule(name) for name in linear}
        return cls(
            config=config,
            task=task,
            head=tuple(sorted(head)),
            linear=linear,
            conv1d=tuple(n for n, layer in layers.items() if not isinstance(layer, nn.Linear)),
            biased=tuple(n for n, layer in layers.items() if layer.bias is not None),
            norms=tuple(filter(outside, peft_border.norm_modules(model))),
            embedding=getattr(model.get_input_embeddings(), "embedding_dim", 0),
            cached=any(
                "past_key_values" in signature(part.forward).parameters
                for part in (model, model.base_model)
            ),
        )

    @property
    def task_type(self) -> str:
        """peft's name of the task."""
        return peft_border.TASK_TYPES[self.task]

    def targets(self, mapping: str = "LORA") -> list[str] | str:
        """peft's default ``target_modules``; every linear layer where it knows none.

        Args:
            mapping: which of peft's tables, see ``peft_border.default_targets``.
        """
        found = peft_border.default_targets(self.config, mapping)
        return list(self.linear) if found == "all-linear" else found

    @property
    def width(self) -> int:
        """Size of the hidden state; 768 where the config does not say."""
        return getattr(self.config, "hidden_size", None) or 768

    def targeted(self, targets: list[str] | str) -> dict[str, tuple[int, int]]:
        """The linear layers that peft's ``target_modules`` match: endings, or one pattern."""
        if isinstance(targets, str):
            return {n: shape for n, shape in self.linear.items() if re.fullmatch(targets, n)}
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
        learning_rates: lowest and highest rate of the adapter worth trying; the search starts in
            their geometric middle.
        baseline: always carried to the final comparison.
        trains: has parameters that train; one without is applied and scored.
        full: trains the base model itself, so the result is a model, not an adapter.
        mergeable: the result can be folded into the base weights without changing the outputs,
            on every model that the method accepts.
        has_dropout: ``dropout`` has an effect; a method without leaves it alone.
        changes_at_start: the outputs differ from the base model's before the first step.
        starts_from_base: the initial values are computed from the base weights, without chance.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    size_name: ClassVar[str | None] = None
    learning_rates: ClassVar[tuple[float, float]]
    baseline: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    full: ClassVar[bool] = False
    mergeable: ClassVar[bool] = True
    has_dropout: ClassVar[bool] = False
    changes_at_start: ClassVar[bool] = False
    starts_from_base: ClassVar[bool] = False

    def refusal(self, facts: Facts) -> str | None:
        """Why the method cannot adapt this model, or ``None``."""
        return None

    def sizes(self, facts: Facts) -> list[int]:
        """Sizes to choose from, ascending; ``[0]`` where there is no knob."""
        return [0]

    def rates(self, facts: Facts) -> tuple[float, float]:
        """The range of learning rates for this model."""
        return self.learning_rates

    def head_rate(self, facts: Facts, rate: float) -> float:
        """Learning rate of the task head beside an adapter trained at ``rate``."""
        return HEAD_RATE / facts.width

    def rate_scale(self, parameter: str) -> float:
        """Factor on the learning rate of a parameter, by its full name."""
        return 1.0

    def callbacks(self, model: nn.Module, steps: int) -> list[TrainerCallback]:
        """What has to happen during a training of ``steps`` optimizer steps."""
        return []

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
    """Shared by the methods whose size is a rank on peft's default target modules.

    Attributes:
        conv1d: peft's tuner can adapt GPT-2's Conv1D.
    """

    size_name = "r"
    has_dropout = True
    conv1d: ClassVar[bool] = True
    # Around the 3e-4 to 3e-3 published for LoRA on large and small models; 1e-2 was seen to
    # diverge. The update's scale does not depend on the rank (alpha = 2 r): one range serves all.
    learning_rates = (3e-4, 5e-3)

    def refusal(self, facts: Facts) -> str | None:
        targets = facts.targeted(facts.targets())
        if not targets:
            return "the model has no linear layer outside its head"
        if not self.conv1d and targets.keys() & set(facts.conv1d):
            return f"peft's {self.name} cannot adapt Conv1D layers such as this model's"
        return None

    def sizes(self, facts: Facts) -> list[int]:
        shapes = facts.targeted(facts.targets()).values()
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
