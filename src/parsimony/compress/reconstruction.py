"""Reconstruct: bring each pruned block's outputs back to the dense block's, before the next one.

Zimmer et al. 2023 (arXiv 2312.15230), layer-wise reconstruction: what trains is what ``compress/
retrain`` names, on one block at a time, with the mean squared error over tokens and width. Dense
and pruned block read the same inputs, which the pruned blocks before them made.

The loop is this file's own: the optimisation is part of the method and of one block, while
``core.training`` trains whole models. It takes that wrapper's AdamW and schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from parsimony.compress.retrainer import Attached, parse
from parsimony.compress.walk import Block
from parsimony.core.errors import InputError
from parsimony.core.peft_border import AdapterLayer
from parsimony.core.training import DivergedError, TrainSettings, optimizer_for, schedule


@dataclass(frozen=True)
class Reconstruction:
    """What ``compress.pruning.prune`` takes as ``reconstruct``.

    Deterministic: every block draws from a seed of its own, so a pass that goes on from its
    journal ends in the same bytes.

    Attributes:
        learning_rate: peak of AdamW without weight decay; 10 % linear warm-up, then linear to zero.
        iterations: steps per block, each on the next batch of windows of the pass; in order,
            beginning again after the last.
        method: see ``compress.retrainer.parse``; all of it must merge.
        seed: of the adapters' initial values.

    Raises:
        InputError: a number out of range; a combination that cannot be merged.
    """

    learning_rate: float
    iterations: int
    method: str = "biases+norms+masklora"
    seed: int = 0

    def __post_init__(self) -> None:
        self._settings()
        beside = [way.name for way in parse(self.method) if not way.merges]
        if beside:
            raise InputError(
                "a block is reconstructed in its own weights",
                got=f"{beside[0]}, which cannot be merged without losing zeros",
                hint="Use masklora or lora-prune",
            )

    def __call__(self, block: Block, dense: Tensor, masks: dict[str, Tensor]) -> dict[str, Any]:
        """Reconstruct one block in place.

        Args:
            block: pruned.
            dense: what it made of its inputs before, [windows, window, width].
            masks: its keep-masks, by parameter name in the model.

        Returns:
            ``reconstructed``: mean squared error after merging; ``trained``: parameters that did.

        Raises:
            DivergedError: an error that is not finite.
        """
        inside = {name.removeprefix(f"{block.name}."): mask for name, mask in masks.items()}
        seed = self.seed * 1_000_003 + block.index
        attached = Attached(block.module, parse(self.method), inside, seed)
        for module in block.module.modules():
            if isinstance(module, AdapterLayer):
                module.train()  # the block's own dropout stays off
        with torch.enable_grad():
            self._train(block, dense, attached)
        attached.merge()
        error = block.error(dense)
        if not math.isfinite(error):
            raise DivergedError(
                f"the error of {block.name} must stay finite",
                got=error,
                hint="Lower the learning rate of the reconstruction",
            )
        return {
            "reconstructed": error,
            "trained": sum(p.numel() for p in attached.parameters.values()),
        }

    def _train(self, block: Block, dense: Tensor, attached: Attached) -> None:
        settings = self._settings()
        optimizer = optimizer_for(list(attached.parameters.values()), settings)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(settings))
        batches = list(block.batches())
        for state in _states(self.iterations):
            _call("on_step_begin", attached.callbacks, state)
            which = batches[state.global_step % len(batches)]
            with attached.computing():
                found = block.run(which)
            nn.functional.mse_loss(found.float(), dense[which].float()).backward()
            optimizer.step()
            _call("on_optimizer_step", attached.callbacks, state)
            optimizer.zero_grad()
            rate.step()

    def _settings(self) -> TrainSettings:
        return TrainSettings(self.learning_rate, self.iterations, warmup=0.1)


def _states(steps: int) -> Iterator[TrainerState]:
    """What callbacks are told of each step."""
    for step in range(steps):
        yield TrainerState(global_step=step, max_steps=steps)


def _call(moment: str, callbacks: list[TrainerCallback], state: TrainerState) -> None:
    for callback in callbacks:
        getattr(callback, moment)(None, state, TrainerControl())
