"""The callback that decides, at every optimizer step, which layers train."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from parsimony.adapt.importance_sparse_tuning import checks
from parsimony.adapt.importance_sparse_tuning.importance import (
    distinct_draws,
    probe_losses,
    rewards,
    updated,
)
from parsimony.adapt.importance_sparse_tuning.memory import MemoryCap
from parsimony.adapt.importance_sparse_tuning.selectors import SELECTORS, Fixed, Selector
from parsimony.core import artifacts, layers
from parsimony.core.errors import InputError, nearest

_DRAW, _PROBE, _ROWS = range(3)  # independent streams of random numbers
_HIGH_LOSS = 6.0  # exp(-6) < 0.0025


@dataclass(eq=False)
class ImportanceSparseTuning(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Train a share of the layers at each step, drawn by their importance for the task.

    Put it among the callbacks of a ``Trainer`` whose model has adapters in its layers; model,
    optimizer and training rows come from the trainer. At the beginning of step t, if t > 0 and t
    is a multiple of ``update_every``, one round of probes moves the importances; then the layers
    that train are drawn. One draw serves all micro-batches of a step and all processes. It is a
    function of seed, step and importances, which are in the trainer's checkpoints, so a resumed
    run repeats it. What trains outside of the layers (a head, an embedding) trains at every step.

    On resuming, a trainer with ``restore_callback_states_from_checkpoint`` puts a new object in
    this one's place; ``file`` has the importances then.

    Args:
        selector: a name in ``SELECTORS``: ``"ist"``, ``"rst"``, ``"lisa"``, ``"top"``, ``"all"``
            or ``"fixed"``.
        trained: layers that train at a step (n_u); the paper's floor(L / 4) when not given, 2 for
            ``"lisa"``.
        fixed: numbers of the layers, from 0, for ``"fixed"``.
        redraw_every: optimizer steps between draws; 1 when not given, 20 for ``"lisa"``.
        damped: layers damped in a probe (n_v); floor(L / 2) when not given.
        probes: probes per update (K), at least 2.
        update_every: optimizer steps between updates (T).
        factor: what the change by an adapter counts in a damped layer (beta), in [0, 1).
        step_size: of the update (mu).
        probe_rows: training rows of an update's batch; shuffled, begun again at their end.
        normalise: divide the rewards by the mean of exp(-loss), see ``rewards``.
        path: names of the lists of layers, see ``core.layers.find``.
        memory_cap: the most that a draw may keep for the backward pass, as a share in (0, 1] of
            what training all layers keeps; predicted, see ``core.layers.SavedBytes``. 1 caps
            nothing, but mean and peak are reported.
        drop_moments_after: free the optimizer's moments of a layer that has not trained for so
            many steps; ``None`` keeps them, as the official code does.
        seed: of all draws.
        file: JSON file that gets ``report()`` after every update and at the end.

    Attributes:
        names: path of every layer, known once training starts.
        importance: of every layer; the negative of the paper's score s: the higher, the more the
            loss rose when the layer was damped.
        active: numbers of the layers that train at this step.

    Raises:
        InputError: an argument out of range; when training starts, a model, trainer or training
            set that it cannot work with.
    """

    selector: str = "ist"
    _: KW_ONLY
    trained: int | None = None
    fixed: list[int] | None = None
    redraw_every: int | None = None
    damped: int | None = None
    probes: int = 3
    update_every: int = 10
    factor: float = 0.25
    step_size: float = 10.0
    probe_rows: int = 16
    normalise: bool = False
    path: str | list[str] | None = None
    memory_cap: float | None = None
    drop_moments_after: int | None = None
    seed: int = 0
    file: str | None = None

    # What a checkpoint keeps beside the arguments; all of it plain data.
    names: list[str] = field(default_factory=list, init=False)
    importance: list[float] = field(default_factory=list, init=False)
    active: list[int] = field(default_factory=list, init=False)
    last_active: list[int] = field(default_factory=list, init=False)
    kept: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.selector not in SELECTORS:
            raise InputError(
                "unknown selector", got=self.selector, hint=nearest(self.selector, SELECTORS)
            )
        self.file = None if self.file is None else str(self.file)
        checks.ranges(vars(self))
        self._selector: Selector = Fixed(self.fixed) if self.fixed else SELECTORS[self.selector]()
        self._redraw_every = self.redraw_every or self._selector.redraw_every
        self._layers: tuple[layers.Layer, ...] = ()
        self._memory: MemoryCap | None = None
        self._warned: set[str] = set()

    # -- what the trainer calls -----------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the arguments and the progress."""
        return {
            "args": {f.name: getattr(self, f.name) for f in fields(self) if f.init},
            "attributes": {f.name: getattr(self, f.name) for f in fields(self) if not f.init},
        }

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        train_dataloader: Any = None,
        **_: Any,
    ) -> None:
        checks.trainer(args)
        checks.model(model, self.memory_cap)
        self._model, self._optimizer, self._data = model, optimizer, train_dataloader
        self._layers = layers.find(model, self.path, trained=True)
        if self._selector.whole:
            checks.whole_layers(self._layers)
        if self._selector.scored:
            layers.check_adapters(self._layers)
        self._set_counts()
        checks.optimizer(optimizer, self._layers)
        self._begin(state)
        if self.memory_cap is not None:
            self._measure(args.train_batch_size)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        if self._selector.scored and step > 0 and step % self.update_every == 0:
            self._update(step)
            self._write(state)
        if step % self._redraw_every == 0 or not self.active:
            self.active = list(self._choose(step))
        layers.train_only(self._layers, self.active)
        for index in self.active:
            self.last_active[index] = step
        if self.drop_moments_after is not None:
            self._drop_moments(step - self.drop_moments_after)
        self._count_step()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        layers.train_only(self._layers, range(len(self._layers)))
        self._write(state)

    # -- what the user asks ---------------------------------------------------------------------

    def counts(self, total: int) -> tuple[int, int]:
        """(layers that train at a step, layers damped in a probe) of ``total`` layers."""
        chosen = self._selector
        trained = self.trained or chosen.trained or math.floor(chosen.share * total)
        return len(self.fixed or ()) or trained, self.damped or total // 2

    def report(self) -> dict[str, Any]:
        """The importances and what the draws kept, as plain data.

        ``saved_share`` is there with ``memory_cap``: predicted bytes kept for the backward pass,
        as a share of what training all layers keeps, mean and peak over the steps so far.
        """
        steps = self.kept["steps"]
        saved = {"mean": self.kept["sum"] / max(steps, 1), "peak": self.kept["peak"]}
        return {
            "selector": self.selector,
            "steps": steps,
            "trained_per_step": self._count,
            "importance": dict(zip(self.names, self.importance, strict=True)),
            "higher_importance": "the loss rose more when the layer's adapters were damped",
            "saved_share": saved if self._memory else None,
        }

    # -- the start ------------------------------------------------------------------------------

    def _refusal(self, total: int) -> str | None:
        """Why ``total`` layers are too few."""
        trained, damped = self.counts(total)
        if not 1 <= trained <= total:
            return f"{trained} of {total} layers would train"
        if self._selector.scored and math.comb(total, damped) < self.probes:
            return f"{self.probes} probes need as many sets of {damped} of {total} layers"
        return None

    def _set_counts(self) -> None:
        total = len(self._layers)
        refusal = self._refusal(total)
        if refusal:
            least = next(n for n in itertools.count(total) if not self._refusal(n))
            raise InputError(
                f"'{self.selector}' needs at least {least} layers with adapters: {refusal}",
                got=[layer.name for layer in self._layers],
                hint="Give more layers adapters, or take the selector 'all'",
            )
        if not set(self.fixed or ()) <= set(range(total)):
            raise InputError(f"layers are numbered from 0 to {total - 1}", got=self.fixed)
        self._count, self._damped = self.counts(total)

    def _begin(self, state: Any) -> None:
        """From the beginning, or from where the checkpoint was written."""
        names = [layer.name for layer in self._layers]
        # The trainer saves only what has an entry; a checkpoint without this callback has none.
        stored = state.stateful_callbacks.setdefault(type(self).__name__, None)
        if state.global_step > 0 and isinstance(stored, dict) and stored["attributes"]["names"]:
            if stored["attributes"]["names"] != names:
                raise InputError(
                    "the model must have the layers that the checkpoint has importances of",
                    got=names,
                    hint=f"The checkpoint has {stored['attributes']['names']}",
                )
            for name, value in stored["attributes"].items():
                setattr(self, name, value)
            return
        if state.global_step > 0 and self._selector.scored:
            self._warn(
                f"the checkpoint of step {state.global_step} has no importances of layers: they "
                "start again from zero"
            )
        self.names, self.active = names, []
        self.importance = [0.0] * len(names)
        self.last_active = [state.global_step] * len(names)
        self.kept = {"steps": 0, "sum": 0.0, "peak": 0.0}

    def _measure(self, batch_size: int) -> None:
        """Measure what the layers keep for the backward pass."""
        self._model.train()
        batch = self._batch(range(min(batch_size, self._rows())))
        saved = layers.saved_by_layer(self._model, batch, self._layers)
        assert self.memory_cap is not None
        self._memory = MemoryCap(saved, self.memory_cap, self._count)
        if not self._selector.random:
            self._memory.check(self._choose(0))

    # -- a step ---------------------------------------------------------------------------------

    def _random(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, number])

    def _choose(self, step: int) -> tuple[int, ...]:
        importance, random = np.array(self.importance), self._random(_DRAW, step)
        if self._memory is None or not self._selector.random:
            return self._selector.choose(importance, self._count, random)
        return self._memory.draw(
            lambda allowed: self._selector.choose(importance[allowed], self._count, random)
        )

    def _update(self, step: int) -> None:
        """One round of probes."""
        importance = np.array(self.importance)
        sets = distinct_draws(importance, self._damped, self.probes, self._random(_PROBE, step))
        first = (step // self.update_every - 1) * self.probe_rows
        batch = self._batch(self._shuffled(first, first + self.probe_rows))
        losses = _agreed(probe_losses(self._model, batch, self._layers, sets, self.factor))
        if not np.isfinite(losses).all():
            self._warn(
                f"a probe's loss at step {step} is not finite: the importances stay as they are"
            )
            return
        if losses.max() == losses.min():
            self._warn(
                f"all probes at step {step} gave the same loss: the importances say nothing yet"
            )
        elif losses.mean() > _HIGH_LOSS and not self.normalise:
            self._warn(
                f"the probes' loss at step {step} is {losses.mean():.1f}: above about "
                f"{_HIGH_LOSS:g} the paper's reward exp(-loss), which is in use, hardly moves the "
                "importances; normalise=True divides it by its mean"
            )
        reward = rewards(losses, self.normalise)
        self.importance = updated(importance, sets, reward, self.step_size).tolist()

    def _rows(self) -> int:
        try:
            return len(self._data.dataset)
        except TypeError:
            raise InputError(
                "probes need a training set whose rows have numbers",
                got=type(self._data.dataset).__name__,
                hint="Give the trainer a data set with a length, or take the selector 'rst'",
            ) from None

    def _shuffled(self, first: int, stop: int) -> list[int]:
        """Rows at positions ``first`` to ``stop`` of the training set, reshuffled at each end."""
        rows = self._rows()
        orders = {
            turn: self._random(_ROWS, turn).permutation(rows)
            for turn in range(first // rows, (stop - 1) // rows + 1)
        }
        return [int(orders[place // rows][place % rows]) for place in range(first, stop)]

    def _batch(self, rows: Iterable[int]) -> dict[str, Any]:
        device = next(self._model.parameters()).device
        batch = self._data.collate_fn([self._data.dataset[row] for row in rows])
        return {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}

    def _drop_moments(self, last: int) -> None:
        """Free the optimizer's state of the layers that have not trained after step ``last``."""
        for index, layer in enumerate(self._layers):
            if self.last_active[index] <= last:
                for parameter in layer.parameters.values():
                    self._optimizer.state.pop(parameter, None)

    def _count_step(self) -> None:
        self.kept["steps"] += 1
        if self._memory is not None:
            share = self._memory.share(self.active)
            self.kept["sum"] += share
            self.kept["peak"] = max(self.kept["peak"], share)

    def _write(self, state: Any) -> None:
        if self.file is not None and state.is_world_process_zero:
            artifacts.write_json(Path(self.file), self.report())

    def _warn(self, text: str) -> None:
        """Warn, once of a kind: texts that differ in numbers alone are of one kind."""
        kind = "".join(c for c in text if not c.isdigit())
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(text, stacklevel=3)


def _agreed(losses: np.ndarray) -> np.ndarray:
    """The mean over all processes, so that all of them draw alike."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return losses
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    total = torch.from_numpy(losses).to(device)
    torch.distributed.all_reduce(total)
    mean: np.ndarray = (total / torch.distributed.get_world_size()).cpu().numpy()
    return mean
