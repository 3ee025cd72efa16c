"""Prune while training: one global threshold, a geometric schedule, masks that never open again.

Jin et al. 2025 (arXiv 2501.12486, and their code): at each step that ``core.pruning_schedule``
names, before the update of that step, the largest share of all prunable weights is kept. Weights
that are removed never return; the learning rate goes on as if nothing had been pruned.

Their forward pass multiplies by masks that are parameters; here the stored weights themselves are
held at zero, which trains what is kept to the same values (``compress.held``) and leaves a plain
model that any checkpoint holds. The masks are written beside every checkpoint.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from parsimony.compress import masks as masking
from parsimony.compress.held import Held
from parsimony.compress.pruner import Target, keep, largest
from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError, nearest
from parsimony.core.prunable import prunable
from parsimony.core.pruning_schedule import PruningSchedule

MAGNITUDE, RANDOM = SCORES = ("magnitude", "random")
_PATTERN = Target(0.5, (2, 4))
_NAME = "gradual_pruning.json"


class GradualPruning(TrainerCallback):  # type: ignore[misc]
    """Prunes the model of any ``Trainer``; also among the ``callbacks`` of ``core.training``.

    All linear layers are pruned, the output projection included; not embeddings, norms, biases,
    nor a head that is the embedding, which is warned of.

    Args:
        schedule: when, and how much; its ``total`` is the steps of the training.
        score: ``"magnitude"``, or ``"random"`` as the control.
        two_of_four: protect the two largest of every four inputs, so that a sparsity of 0.5 ends
            in the pattern 2:4; no more than that is possible then.
        exempt: words; a tensor with one of them in its name stays dense.
        seed: of random scores.

    Attributes:
        masks: keep-masks by parameter, see ``compress.masks``; empty before the training.
        history: (step, prunable weights that are left from then on); the first is (0, all).

    Raises:
        InputError: an unknown score; 2:4 with more than half to go.
    """

    def __init__(
        self,
        schedule: PruningSchedule,
        *,
        score: str = MAGNITUDE,
        two_of_four: bool = False,
        exempt: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if score not in SCORES:
            raise InputError("unknown score", got=score, hint=nearest(score, SCORES))
        if two_of_four and schedule.sparsity > 0.5:
            raise InputError(
                "with two of every four weights protected, at most half can go",
                got=schedule.sparsity,
                hint="Give a sparsity of 0.5, or leave out the pattern",
            )
        self._schedule, self._score, self._two_of_four = schedule, score, two_of_four
        self._exempt, self._seed = tuple(exempt), seed
        self.masks: dict[str, Tensor] = {}
        self.history: list[tuple[int, int]] = []
        self._layers: dict[str, nn.Parameter] = {}
        self._held: Held | None = None

    @property
    def density(self) -> float:
        """Share of the prunable weights that are left now."""
        return self.history[-1][1] / self.history[0][1]

    def active(self, step: int) -> int:
        """Prunable weights that the update of ``step`` worked with, counted from 0."""
        return next(left for since, left in reversed(self.history) if since <= step)

    def average_active(self, steps: int) -> float:
        """Mean of ``active`` over the first ``steps``: N_avg, without what cannot be pruned."""
        ends = [since for since, _ in self.history[1:]] + [steps]
        return sum(
            left * max(0, min(end, steps) - since)
            for (since, left), end in zip(self.history, ends, strict=True)
        ) / steps  # fmt: skip

    # -- what the trainer calls -----------------------------------------------------------------

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        if state.max_steps != self._schedule.total:
            raise InputError(
                "the pruning schedule must be of as many steps as the training",
                got=f"{self._schedule.total} and {state.max_steps}",
                hint=f"Give the schedule total={state.max_steps}",
            )
        self._layers = self._targets(model)
        if state.global_step:
            self._restore(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        else:
            self.masks = {
                name: torch.ones_like(weight, dtype=torch.bool)
                for name, weight in self._layers.items()
            }
            self.history = [(0, sum(mask.numel() for mask in self.masks.values()))]
        self._hold()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        left = round(self._schedule.density(state.global_step) * self.history[0][1])
        if left < self.history[-1][1]:
            self._prune(state.global_step, left)
            self._hold()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self._held is not None
        self._held.apply()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            masking.save(self.masks, folder)
            artifacts.write_json(folder / _NAME, {**self._asked(), "history": self.history})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._held is not None:
            self._held.release()

    # -- what it does ---------------------------------------------------------------------------

    def _targets(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """What is pruned, by name."""
        found: dict[str, Any] = {
            name: weight
            for name, weight in prunable(model).items()
            if not any(word in name for word in self._exempt)
        }
        if not found:
            raise InputError(
                "something must be left to prune", got=f"exempt={list(self._exempt)}",
                hint="Exempt less",
            )  # fmt: skip
        head = getattr(model, "get_output_embeddings", lambda: None)()
        tied = (m.weight for m in model.modules() if isinstance(m, nn.Embedding))
        if head is not None and any(head.weight is weight for weight in tied):
            warnings.warn(
                "the output projection is the embedding: it stays dense and is not counted",
                stacklevel=2,
            )
        if self._two_of_four:
            for name, weight in found.items():
                _PATTERN.check(name, _inputs_last(model, name, weight).shape[1])
        self._model = model
        return found

    @torch.no_grad()
    def _prune(self, step: int, left: int) -> None:
        """Close the masks until ``left`` weights are left, the largest over all tensors."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        parts = [self._scores(name, generator).reshape(-1) for name in self._layers]
        kept = largest(torch.cat(parts), left).split([len(part) for part in parts])
        for (name, mask), part in zip(self.masks.items(), kept, strict=True):
            self.masks[name] = part.reshape(mask.shape)
        self.history.append((step, left))

    def _scores(self, name: str, generator: torch.Generator) -> Tensor:
        """Higher is kept: infinite where protected, below all others where removed."""
        weight, mask = self._layers[name], self.masks[name]
        if self._score == RANDOM:
            scores = torch.rand(weight.shape, generator=generator).to(weight.device)
        else:
            scores = weight.detach().abs().float()
        scores = scores.masked_fill(~mask, -1)
        if self._two_of_four:
            rows = _inputs_last(self._model, name, scores)  # a view: what is filled is ``scores``
            rows.masked_fill_(keep(rows, _PATTERN), torch.inf)
        return scores

    def _hold(self) -> None:
        """Hold what is removed now."""
        if self._held is not None:
            self._held.release()
        self._held = Held({self._layers[name]: mask for name, mask in self.masks.items()})

    # -- what survives a kill -------------------------------------------------------------------

    def _asked(self) -> dict[str, Any]:
        return {
            "schedule": dataclasses.asdict(self._schedule),
            "score": self._score,
            "two_of_four": self._two_of_four,
            "exempt": list(self._exempt),
            "seed": self._seed,
        }

    def _restore(self, checkpoint: Path) -> None:
        if not (checkpoint / _NAME).is_file():
            raise ArtifactError(
                f"{checkpoint} must hold the masks of a gradual pruning to go on with one",
                hint="Resume a checkpoint of a training that was pruned, from its own folder",
            )
        stored = artifacts.read_json(checkpoint / _NAME)
        history = stored.pop("history")
        if stored != self._asked():
            raise InputError(
                f"a training must go on with the pruning it began with, {stored}",
                got=self._asked(),
                hint="Give that one, or start a new training",
            )
        self.history = [(step, left) for step, left in history]
        loaded = masking.load(checkpoint)
        self.masks = {n: loaded[n].to(weight.device) for n, weight in self._layers.items()}


def _inputs_last(model: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """A tensor shaped like a layer's weight as [outputs, inputs], a view."""
    layer = model.get_submodule(name.rpartition(".")[0])
    return tensor if isinstance(layer, nn.Linear) else tensor.T
