"""The one way to train anything with weights: transformers' Trainer, wrapped thinly.

What the wrapper adds: a checkpoint counts only with its manifest of hashes, a resumed run ends in
the same bytes as one never stopped (CPU), every trainable tensor must receive a gradient within
two steps, events go to ``events.jsonl`` in step order, and a step is the same however its rows are
split into parts and over processes.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader, RandomSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from parsimony.core import artifacts, devices, schedules
from parsimony.core.errors import InputError, ParsimonyError, nearest
from parsimony.core.events import Events

if TYPE_CHECKING:
    from parsimony.core.scoring import Collate, Rows

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")

# Checkpoints are written so often that at most this many bytes of state are written per step.
_BYTES_PER_STEP = 8 * 2**20


@dataclass(frozen=True)
class TrainSettings:
    """How to train; every field enters the run's record.

    Attributes:
        learning_rate: peak of the schedule.
        head_learning_rate: of a freshly drawn task head; ``None`` for the same rate.
        steps: optimizer steps of the whole schedule.
        batch_size: rows per step, of all processes together.
        warmup: share of ``steps`` spent warming up, in [0, 1).
        weight_decay: AdamW's, on matrices only.
        seed: order of the data and dropout.
        threads: torch threads; one was seen to beat two several-fold on loaded small machines.
        device: ``"cpu"`` or ``"cuda"``.
        checkpointing: see ``core.thrift``.
        accumulation: parts that the rows of a step are split into; divides ``batch_size``, and
            under torchrun each process's share of it.
        precision: ``"bf16"`` and ``"fp16"`` (CUDA) compute in 16 bits where torch's autocast holds
            that safe, with weights in float32; ``"fp32"`` and ``"tf32"`` leave the model as it is.
        schedule: ``"linear"`` (warm-up, then linear to zero, by steps) or a name that
            ``core.schedules`` finds, such as ``"wsd"``, which counts the tokens of every step.
        schedule_options: arguments of the latter by name, beside those that follow from the
            other settings and the rows.
    """

    learning_rate: float
    steps: int
    head_learning_rate: float | None = None
    batch_size: int = 16
    warmup: float = 0.06
    weight_decay: float = 0.0
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    checkpointing: bool = False
    accumulation: int = 1
    precision: str = "fp32"
    schedule: str = schedules.LINEAR
    schedule_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise InputError("steps, batch size and learning rate must be positive", got=self)
        if self.accumulation < 1 or self.batch_size % self.accumulation:
            raise InputError("accumulation must divide the batch size", got=self)
        if self.precision not in PRECISIONS:
            raise InputError("unknown precision", got=self.precision,
                             hint=nearest(self.precision, PRECISIONS))  # fmt: skip
        schedules.check_name(self.schedule)
        if self.schedule == schedules.LINEAR and self.schedule_options:
            raise InputError("the schedule 'linear' has no options", got=self.schedule_options)


class DivergedError(ParsimonyError):
    """The loss stopped being a finite number."""


def optimizer_for(
    parameters: list[nn.Parameter],
    settings: TrainSettings,
    rates: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms, scales) never decay.

    Args:
        parameters: what trains.
        settings: see ``TrainSettings``.
        rates: peak learning rates of those that do not train at ``settings.learning_rate``.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in parameters:
        rate = (rates or {}).get(parameter, settings.learning_rate)
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": group, "lr": rate, "weight_decay": decay}
            for (rate, decay), group in groups.items()
        ],
        lr=settings.learning_rate,
    )


def rates_of(
    model: nn.Module,
    settings: TrainSettings,
    head: Sequence[str] = (),
    scale: Callable[[str], float] | None = None,
) -> dict[nn.Parameter, float]:
    """Peak learning rate of every trainable parameter.

    Args:
        model: with ``requires_grad`` set on what trains.
        settings: its ``head_learning_rate`` is that of the head.
        head: names of the head's modules.
        scale: factor on the learning rate by the parameter's full name, outside the head.
    """
    rates = {}
    for name, parameter in model.named_parameters():
        if set(name.split(".")) & set(head):
            rate = settings.head_learning_rate or settings.learning_rate
        else:
            rate = settings.learning_rate * (scale(name) if scale else 1.0)
        if parameter.requires_grad:
            rates[parameter] = rate
    return rates


def schedule(settings: TrainSettings) -> Callable[[int], float]:
    """Factor on the learning rate at step 0, 1, ...; the first step already moves."""
    warm = max(1, round(settings.warmup * settings.steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return max(0.0, (settings.steps - step) / max(1, settings.steps - warm))

    return factor


def train(
    model: nn.Module,
    rows: Rows,
    collate: Collate,
    settings: TrainSettings,
    folder: Path,
    *,
    head: Sequence[str] = (),
    scale: Callable[[str], float] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    stop_after: int | None = None,
    evaluate: Callable[[nn.Module, int], float] | None = None,
    evaluate_at: frozenset[int] = frozenset(),
    on_step: Callable[[int], None] | None = None,
    keep: bool = True,
) -> None:
    """Train ``model`` in place, continuing from the newest whole checkpoint in ``folder``.

    Under torchrun all processes call it with the same arguments, and see the same ``folder``; the
    first writes all but the others' random states, and evaluates.

    Args:
        model: with ``requires_grad`` set on what trains.
        rows: the training split.
        collate: makes batches.
        settings: see ``TrainSettings``.
        folder: gets ``checkpoints/`` and ``events.jsonl``.
        head: names of the modules that get the head's learning rate.
        scale: factor on the learning rate by a parameter's full name, where a method asks for it.
        callbacks: of the method; a stateful one is an ``ExportableState``, saved and restored
            with the checkpoint.
        stop_after: stop at this step of the schedule; a later call may go on from there.
        evaluate: called with model and step at the steps in ``evaluate_at``; its value is logged
            as ``validation``.
        on_step: called after every step, for progress.
        keep: write checkpoints; without, a training that is stopped has to start again, which
            suits many short ones.

    Raises:
        DivergedError: a loss or validation score that is not finite, with its step.
        InputError: rows of a step that do not divide by the processes; processes of torchrun that
            do not take part; options that the schedule refuses.
        ParsimonyError: a trainable tensor that gets no gradient within two steps.
    """
    stop = settings.steps if stop_after is None else min(stop_after, settings.steps)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=settings.device != "cpu")
    devices.check_together()
    devices.check_batch(settings.batch_size, settings.accumulation)
    checkpoints = folder / "checkpoints"
    resume = _agreed_checkpoint(checkpoints)
    done = _step_of(resume) if resume else 0
    if done >= stop and resume is not None:
        _load_weights(model, resume)
        return
    events = Events(folder / "events.jsonl", keep_until=done)
    trained = [p for p in model.parameters() if p.requires_grad]
    state_bytes = 3 * sum(p.numel() * p.element_size() for p in trained)
    optimizer = optimizer_for(trained, settings, rates_of(model, settings, head, scale))
    scheduler = _scheduler(optimizer, settings, rows, collate)
    trainer = _Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            per_device_train_batch_size=settings.batch_size // settings.accumulation,
            gradient_accumulation_steps=settings.accumulation,
            gradient_checkpointing=settings.checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            max_steps=settings.steps,
            max_grad_norm=1.0,
            seed=settings.seed,
            data_seed=settings.seed,
            save_strategy="steps" if keep else "no",
            save_steps=max(1, math.ceil(state_bytes / _BYTES_PER_STEP)),
            save_total_limit=2,
            logging_strategy="steps",
            logging_steps=1,
            logging_nan_inf_filter=False,
            report_to=[],
            disable_tqdm=True,
            use_cpu=settings.device == "cpu",
            bf16=settings.precision == "bf16",
            fp16=settings.precision == "fp16",
            dataloader_pin_memory=settings.device != "cpu",
            remove_unused_columns=False,
            label_names=["labels"],
            restore_callback_states_from_checkpoint=True,
            # A callback may freeze a layer; buffers are alike, and sending them takes time.
            ddp_find_unused_parameters=True,
            ddp_broadcast_buffers=False,
        ),
        train_dataset=rows,
        data_collator=collate,
        optimizers=(optimizer, scheduler),
        callbacks=[
            *callbacks,
            GradientCheck(model, first=done),
            _Watch(events, stop, keep, evaluate, evaluate_at, on_step),
            _Seal(),
        ],
    )
    trainer.remove_callback(PrinterCallback)  # progress is ours to show
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)


def _scheduler(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, rows: Rows, collate: Collate
) -> Any:
    """An ``LRScheduler``; transformers' annotations know one kind of them only."""
    if settings.schedule == schedules.LINEAR:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(settings))
    row, total = schedules.count_tokens(rows, collate, settings.steps, settings.batch_size)
    course = schedules.Course(
        settings.learning_rate, settings.batch_size, row, total, settings.warmup
    )
    kind = schedules.schedules()[settings.schedule]
    return kind.of_run(optimizer, course, settings.schedule_options)


def _agreed_checkpoint(checkpoints: Path) -> Path | None:
    """``newest_checkpoint``, looked for by the first process for all."""

    def find() -> str | None:
        newest = newest_checkpoint(checkpoints)
        return None if newest is None else newest.name

    name = devices.agreed(find)
    return None if name is None else checkpoints / name


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest checkpoint that is whole and unchanged; half-written ones are deleted."""
    whole: list[Path] = []
    for folder in checkpoints.glob("checkpoint-*"):
        if artifacts.is_sealed(folder):
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    if not whole:
        return None
    newest = max(whole, key=_step_of)
    # Trainer unpickles optimizer and RNG state (weights_only); only what this run wrote itself.
    artifacts.verify(newest)
    return newest


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _load_weights(model: nn.Module, checkpoint: Path) -> None:
    from safetensors.torch import load_file, load_model

    file = checkpoint / "adapter_model.safetensors"
    if file.is_file():
        import peft

        peft.set_peft_model_state_dict(model, load_file(file))
    else:
        load_model(model, checkpoint / "model.safetensors")


class _Trainer(Trainer):
    """A step's loss is the mean over all that it learns from, however its rows are split.

    loss = sum over parts and processes of (items of the split / items of the step) * its mean loss

    An item is a row, or a token where tokens have labels and the model does not say that its loss
    is a mean over rows. Every process collates all rows of a
    part, as wide as one process would, knows all items, and computes on its own rows.
    """

    loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Parts of all processes together, in the order that one process has."""
        rows: Any = self.train_dataset
        loader: DataLoader[Any] = DataLoader(
            rows, self.args.train_batch_size, sampler=RandomSampler(rows),
            collate_fn=self.data_collator, pin_memory=self.args.dataloader_pin_memory,
        )  # fmt: skip
        loader = prepare_data_loader(
            loader, self.args.device, num_processes=1, process_index=0, put_on_device=True,
            use_seedable_sampler=True, data_seed=self.args.data_seed,
        )  # fmt: skip
        return loader

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], None]:
        """This process's rows of the next parts, each with its share of the step's items."""
        parts = list(itertools.islice(epoch_iterator, num_batches))
        if isinstance(self.lr_scheduler, schedules.NamedSchedule):
            self.lr_scheduler.expect(sum(map(schedules.tokens_in, parts)))
        assert self.model is not None
        counted = _counter(self.model)
        total = sum(counted(part["labels"]) for part in parts)
        shares = []
        for part in parts:
            mine = devices.own(part)
            share = counted(mine["labels"]) / max(total, 1)
            # Without rows it goes through a row that counts for nothing: others wait for it.
            rows = mine if len(mine["labels"]) else {k: v[:1] for k, v in part.items()}
            shares.append({**rows, "share": share})
        return shares, None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: object = None,
    ) -> torch.Tensor:
        """The share's contribution, times the processes: gradients are averaged over them."""
        share: float = inputs.pop("share")
        loss: torch.Tensor
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if share == 0:  # a mean over no item is not a number
            loss = outputs["logits"].sum()
        return loss * (devices.count() * share)


def _counter(model: nn.Module) -> Callable[[torch.Tensor], int]:
    """Counts what a model's loss is a mean of; it is rows where its ``mean_over_rows`` says so."""
    if getattr(model, "mean_over_rows", False):
        return len
    return functools.partial(_items, first=_first_predicted(model))


def _items(labels: torch.Tensor, first: int) -> int:
    """What a batch learns from: its rows, or its labelled tokens from the ``first`` position on."""
    return len(labels) if labels.ndim == 1 else int((labels[:, first:] != -100).sum())


def _first_predicted(model: nn.Module) -> int:
    """The first token of a text that is predicted: its second, unless a prompt stands before it."""
    config: Any = getattr(model, "active_peft_config", None)
    if config is None or not config.is_prompt_learning:
        return 1
    return 1 if config.peft_type == "PREFIX_TUNING" else 0


class GradientCheck(TrainerCallback):
    """Every trainable tensor must get a non-zero gradient within two steps of its training.

    Args:
        model: what trains.
        first: steps done before this process.

    A step in which a callback has frozen the tensor, or a warm-up from 0 has not moved anything,
    does not count. Two, because a product of
    factors of which one starts at zero (LoRA's B) gives the other its first gradient in the second
    step. It catches adapters that are wired to nothing.
    """

    def __init__(self, model: nn.Module, first: int = 0) -> None:
        # A run resumed after its second step has passed already; a loss that has vanished since
        # must not fail it.
        trained = {} if first >= 2 else dict(model.named_parameters())
        self._waiting = {name: p for name, p in trained.items() if p.requires_grad}
        self._steps = dict.fromkeys(self._waiting, 0)

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any
    ) -> None:
        if not self._waiting:
            return
        moves = optimizer is None or any(group["lr"] for group in optimizer.param_groups)
        for name in [n for n, p in self._waiting.items() if _has_gradient(p)]:
            del self._waiting[name]
        for name, parameter in self._waiting.items():
            self._steps[name] += moves and parameter.requires_grad
        names = sorted(name for name in self._waiting if self._steps[name] >= 2)
        if names:
            raise ParsimonyError(
                "every trainable tensor must receive a gradient within two steps",
                got=names[:3],
                hint=f"{len(names)} tensors received none: freeze them or use them in forward",
            )


def _has_gradient(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.ne(0).any())


class _Watch(TrainerCallback):
    """Random streams, events, evaluation, progress and the stop."""

    def __init__(
        self,
        events: Events,
        stop: int,
        keep: bool,
        evaluate: Callable[[nn.Module, int], float] | None,
        evaluate_at: frozenset[int],
        on_step: Callable[[int], None] | None,
    ) -> None:
        self._events, self._stop, self._keep = events, stop, keep
        self._evaluate, self._evaluate_at, self._on_step = evaluate, evaluate_at, on_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        devices.draw_apart(args.seed)  # a resumed run then reads what it had drawn to

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise DivergedError(f"the loss must stay finite, step {state.global_step}",
                                got=logs["loss"], hint="Lower the learning rate")  # fmt: skip
        self._events.add(step=state.global_step, loss=logs["loss"])

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        step = state.global_step
        if self._evaluate is not None and step in self._evaluate_at:
            value = devices.agreed(functools.partial(self._evaluate, model, step))
            if not math.isfinite(value):
                raise DivergedError(f"the validation score must stay finite, step {step}",
                                    got=value, hint="Lower the learning rate")  # fmt: skip
            self._events.add(step=step, validation=value)
        if step >= self._stop:
            control.should_save = self._keep
            control.should_training_stop = True
        if self._on_step is not None:
            self._on_step(step)


class _Seal(TrainerCallback):
    """Write the manifest of a checkpoint once all its files are there."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        devices.meet()
        if devices.leads():
            artifacts.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def default_device() -> str:
    """``"cuda"`` where there is one, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # workers fork; threads would warn
