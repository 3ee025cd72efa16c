"""Distil a lighter UNet from its teacher: each light block alone first, then all together.

    pieces   loss of a block = MSE to what the teacher's block hands on, reading what that one reads
    joint    loss = task MSE(e_s, e) + output MSE(e_s, e_t) + feature sum_blocks MSE(f_s, f_t)

Pieces (A-SDM, arXiv 2406.00210) know nothing of each other, so they train one after another here,
or on as many machines as there are. The joint losses and settings are BK-SDM's (arXiv 2305.15798):
all weights 1, AdamW at a constant 5e-5; it trains 50,000 steps of 256 images.

What a down block hands on is every residual that the student still has, its output among them: a
light one's layer stands for the teacher's last, whose skip connection stays; all others hand on
their output.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from parsimony.compress.assembly.light_blocks import Origin, origins
from parsimony.compress.assembly.noising import NoisedRows, collate
from parsimony.core import unets
from parsimony.core.errors import InputError
from parsimony.core.training import TrainSettings, train

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


def settings(steps: int, learning_rate: float = 5e-5, **given: Any) -> TrainSettings:
    """BK-SDM's recipe: AdamW at a constant rate, no warm-up, no weight decay.

    Args:
        steps: optimizer steps.
        learning_rate: of every step.
        given: further fields of ``TrainSettings``.
    """
    constant = {"schedule": "wsd", "schedule_options": {"decay_tokens": 0}, "warmup": 0.0}
    return TrainSettings(learning_rate, steps, **{**constant, **given})


@dataclass(frozen=True)
class Weights:
    """Factors of the joint losses, at least 0; with the task alone no teacher is run.

    Attributes:
        task: of the error to what was drawn.
        output: of the difference to what the teacher says.
        feature: of the differences between what blocks hand on, summed over blocks.
    """

    task: float = 1.0
    output: float = 1.0
    feature: float = 1.0


@dataclass(frozen=True)
class Call:
    """What a block was called with, and what it gave."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any


class Piece(nn.Module):
    """A light block inside the frozen teacher, as the trainer sees it.

    Args:
        teacher: not a submodule.
        student: assembled from it.
        name: of one of the student's blocks.

    Attributes:
        block: the student's; what trains.
    """

    def __init__(
        self, teacher: UNet2DConditionModel, student: UNet2DConditionModel, name: str
    ) -> None:
        super().__init__()
        known = origins(teacher, student)
        unets.named([name], known)
        self.block = student.get_submodule(unets.blocks(student)[name])
        self._origin = known[name]
        object.__setattr__(self, "_teacher", teacher)

    def forward(self, target: Tensor, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Loss of a batch of ``NoisedRows``; its target is not needed."""
        with torch.no_grad(), recorded(self._teacher, [self._origin.name], stop=True) as calls:
            self._teacher(**inputs)
        call = calls[self._origin.name]
        kwargs = dict(call.kwargs)
        if "res_hidden_states_tuple" in kwargs:  # the first layer reads the last
            residuals = kwargs["res_hidden_states_tuple"][::-1]
            kept = [residuals[layer] for layer in self._origin.kept]
            kwargs["res_hidden_states_tuple"] = tuple(kept[::-1])
        output = self.block(*call.args, **kwargs)
        loss = difference(output, call.output, self._origin)
        return {"loss": loss, "logits": handed_on(output)[-1]}


class Joint(nn.Module):
    """A student beside its frozen teacher, as the trainer sees it.

    Args:
        teacher: not a submodule; ``None`` where it is not needed.
        student: what trains.
        weights: of the losses.

    Raises:
        InputError: a weight below 0; no teacher for losses that need one.
    """

    def __init__(
        self,
        teacher: UNet2DConditionModel | None,
        student: UNet2DConditionModel,
        weights: Weights | None = None,
    ) -> None:
        super().__init__()
        self.student, self.weights = student, weights or Weights()
        if min(dataclasses.astuple(self.weights)) < 0:
            raise InputError("weights of losses must be at least 0", got=self.weights)
        self._taught = self.weights.output > 0 or self.weights.feature > 0
        if self._taught and teacher is None:
            raise InputError("losses to a teacher need one", got=self.weights)
        self._origins = origins(teacher, student) if teacher and self._taught else {}
        object.__setattr__(self, "_teacher", teacher)

    def forward(self, target: Tensor, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Losses of a batch of ``NoisedRows``: ``loss``, and the parts that it is the sum of."""
        with recorded(self.student, self._origins) as ours:
            said = self.student(**inputs).sample
        parts = {"task": _mse(said, target)}
        if self._taught:
            names = [origin.name for origin in self._origins.values()]
            with torch.no_grad(), recorded(self._teacher, names) as theirs:
                wanted = self._teacher(**inputs).sample
            parts["output"] = _mse(said, wanted)
            differences = [
                difference(ours[name].output, theirs[origin.name].output, origin)
                for name, origin in self._origins.items()
            ]
            parts["feature"] = torch.stack(differences).sum()
        loss = sum(getattr(self.weights, name) * part for name, part in parts.items())
        return {"loss": loss, "logits": said, **parts}


def light(teacher: UNet2DConditionModel, student: UNet2DConditionModel) -> list[str]:
    """Names of the student's blocks that have fewer layers than the teacher's, in their order."""
    return [name for name, origin in origins(teacher, student).items() if origin.dropped]


def train_pieces(
    teacher: UNet2DConditionModel,
    student: UNet2DConditionModel,
    rows: NoisedRows,
    settings: TrainSettings,
    folder: Path,
    *,
    names: list[str] | None = None,
    on_step: Callable[[int], None] | None = None,
    **options: Any,
) -> None:
    """Train light blocks of the student in place, each inside the teacher; others stay as they are.

    Args:
        teacher: float32; is put into evaluation mode and does not change.
        student: assembled from it, float32.
        rows: what to train on.
        settings: of each piece, see ``settings``.
        folder: gets a folder per block, with what ``core.training.train`` writes; a run goes on
            from there.
        names: blocks to train; by default all light ones.
        on_step: called after every step of every piece, for progress.
        options: further ones of ``core.training.train``.

    Raises:
        InputError: a block that the student does not have; rows or weights that do not fit.
    """
    chosen = light(teacher, student) if names is None else names
    for name in chosen:
        piece = Piece(teacher, student, name)
        with _ready(teacher, student, rows, settings) as own:
            train(piece, rows, collate, own, folder / name, on_step=on_step, **options)


def train_joint(
    teacher: UNet2DConditionModel | None,
    student: UNet2DConditionModel,
    rows: NoisedRows,
    settings: TrainSettings,
    folder: Path,
    *,
    weights: Weights | None = None,
    on_step: Callable[[int], None] | None = None,
    **options: Any,
) -> None:
    """Train all of a student in place.

    Args:
        teacher: float32; is put into evaluation mode and does not change. ``None`` to learn the
            task alone.
        student: float32.
        rows: what to train on.
        settings: see ``settings``.
        folder: see ``core.training.train``.
        weights: of the losses.
        on_step: called after every step, for progress.
        options: further ones of ``core.training.train``.

    Raises:
        InputError: see ``Joint``; rows or weights that do not fit.
    """
    joint = Joint(teacher, student, weights)
    with _ready(teacher, student, rows, settings) as own:
        train(joint, rows, collate, own, folder, on_step=on_step, **options)


@contextlib.contextmanager
def _ready(
    teacher: UNet2DConditionModel | None,
    student: UNet2DConditionModel,
    rows: NoisedRows,
    settings: TrainSettings,
) -> Iterator[TrainSettings]:
    """Both on the device, checked, the teacher frozen; all as before afterwards but the device.

    Yields the settings for the trainer, which cannot switch checkpointing on in these networks.
    """
    unets.check(student)
    channels, width = rows.latents.shape[1], rows.contexts.shape[2]
    wanted = student.config.in_channels, unets.context_width(student)
    if (channels, width) != wanted:
        raise InputError(
            f"rows must have {wanted[0]} channels and contexts of width {wanted[1]}",
            got=(channels, width),
        )
    networks = [unet for unet in (teacher, student) if unet is not None]
    if narrow := {str(unet.dtype) for unet in networks} - {"torch.float32"}:
        raise InputError(
            "training needs weights in float32", got=min(narrow),
            hint="Call .float(), and set precision='bf16' to compute in less",
        )  # fmt: skip
    modes = [unet.training for unet in networks]
    for unet in networks:
        unet.to(settings.device)
    if teacher is not None:
        teacher.eval()
    if settings.checkpointing:
        student.enable_gradient_checkpointing()
    try:
        yield dataclasses.replace(settings, checkpointing=False)
    finally:
        student.disable_gradient_checkpointing()
        for unet, mode in zip(networks, modes, strict=True):
            unet.train(mode)


@contextlib.contextmanager
def recorded(
    unet: UNet2DConditionModel, names: Any, stop: bool = False
) -> Iterator[dict[str, Call]]:
    """Note the calls of some blocks, by name.

    Args:
        unet: runs inside the context.
        names: of its blocks.
        stop: leave the forward pass after the first of them; the context ends there.
    """
    calls: dict[str, Call] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            calls[name] = Call(args, kwargs, output)
            if stop:
                raise _Stopped

        return hook

    paths = unets.blocks(unet)
    handles = [
        unet.get_submodule(paths[name]).register_forward_hook(note(name), with_kwargs=True)
        for name in names
    ]
    try:
        with contextlib.suppress(_Stopped):
            yield calls
    finally:
        for handle in handles:
            handle.remove()


class _Stopped(Exception):  # noqa: N818 (no fault)
    """The forward pass got as far as was wanted."""


def handed_on(output: Any) -> tuple[Tensor, ...]:
    """What later blocks read of a block's output: of a down block its residuals, output last."""
    return (output,) if isinstance(output, Tensor) else tuple(output[1])


def difference(ours: Any, theirs: Any, origin: Origin) -> Tensor:
    """Sum of the mean squared differences of what two blocks hand on.

    Args:
        ours: output of the student's block.
        theirs: of the teacher's, which may have a downsampler that ours lacks.
        origin: of the student's block.
    """
    mine, wanted = handed_on(ours), handed_on(theirs)
    if len(wanted) > 1:  # the first residuals are those of the layers that up blocks dropped
        wanted = wanted[len(origin.dropped) :][: len(mine)]
    return torch.stack([_mse(a, b) for a, b in zip(mine, wanted, strict=True)]).sum()


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return nn.functional.mse_loss(a.float(), b.float())
