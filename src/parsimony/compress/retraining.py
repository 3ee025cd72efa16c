"""Retrain a sliver of a pruned model and merge it: the zeros stay, most of the quality is back.

Zimmer et al. 2023 (arXiv 2312.15230): biases, norms and low-rank adapters that respect the masks.
Which weights are removed is known from the masks alone, never from W != 0, so neither a kept zero
nor weight decay can lose or revive one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from parsimony.compress import masks as masking
from parsimony.compress.masks import Masks
from parsimony.compress.retrainer import Attached, parse
from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, BudgetError, ParsimonyError
from parsimony.core.prunable import block_linears
from parsimony.core.training import TrainSettings, train

if TYPE_CHECKING:
    from parsimony.core.scoring import Collate, Rows

_KEY = "retraining.json"


def settings(steps: int, learning_rate: float = 5e-4, **given: Any) -> TrainSettings:
    """The paper's recipe: AdamW, no weight decay, 10 % linear warm-up, then linear to zero.

    Args:
        steps: optimizer steps; about 1000 in the paper.
        learning_rate: peak; 5e-4 in the authors' demonstration, best tuned over a small grid.
        given: further fields of ``TrainSettings``.
    """
    return TrainSettings(learning_rate, steps, **{"warmup": 0.1, **given})


def default(model: nn.Module) -> str:
    """What trains where nobody says: all that the paper trains in blocks, if the model has it."""
    biased = any(
        getattr(layer, "bias", None) is not None for layer in block_linears(model).values()
    )
    return "biases+norms+masklora" if biased else "norms+masklora"


@dataclass(frozen=True)
class Retrained:
    """What retraining leaves.

    Attributes:
        report: ``method``, ``trainable`` (parameters that trained), ``parameters`` (of the model),
            ``share`` (the first over the second), ``steps`` and ``zeros`` (share of the masked
            weights that are removed); JSON values.
        adapter: what could not be merged without losing zeros and stays on the model, else
            ``None``.
    """

    report: dict[str, Any]
    adapter: peft.PeftModel | None


def retrain(
    model: nn.Module,
    masks: Masks,
    rows: Rows,
    collate: Collate,
    method: str,
    settings: TrainSettings,
    folder: Path,
    *,
    allowed: float | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    on_step: Callable[[int], None] | None = None,
    stop_after: int | None = None,
    **options: Any,
) -> Retrained:
    """Retrain a pruned model in place and merge; goes on from the newest checkpoint in ``folder``.

    Args:
        model: pruned, with the weights as pruning left them, also when a run goes on.
        masks: keep-masks by parameter, see ``compress.masks``.
        rows: what to train on.
        collate: makes batches with ``labels``.
        method: a combination of ``compress.retrainer.retrainers()``, see there.
        settings: see ``settings`` for the paper's. What trains of a 16-bit model is in float32.
        folder: gets ``checkpoints/``, of what trains alone, and ``events.jsonl``.
        allowed: largest share of the model's parameters that may train, in (0, 1].
        callbacks: further ones, see ``core.training.train``.
        on_step: called after every step, for progress.
        stop_after: leave off at this step; nothing is merged before the last.
        options: further ones of ``core.training.train``.

    Raises:
        InputError: masks of another model; what a way to retrain refuses.
        BudgetError: more than ``allowed`` would train.
        ArtifactError: ``folder`` is of another retraining.
    """
    total = sum(p.numel() for p in model.parameters())
    model.to(settings.device)
    attached = Attached(model, parse(method), masks, settings.seed)
    trainable = sum(p.numel() for p in attached.parameters.values())
    try:
        check_share(method, trainable, total, allowed)
    except BudgetError:
        attached.remove()
        raise
    _claim(folder, method, settings)
    frozen = _fingerprints(model, attached)
    train(
        Sliver(model, attached), rows, collate, settings, folder,
        callbacks=[*callbacks, *attached.callbacks], on_step=on_step, stop_after=stop_after,
        **options,
    )  # fmt: skip
    changed = [name for name, found in _fingerprints(model, attached).items()
               if found != frozen[name]]  # fmt: skip
    if changed:
        raise ParsimonyError("only what was chosen may change in training", got=changed[:3])
    if stop_after is None or stop_after >= settings.steps:
        attached.merge()
    if not masking.intact(model, masks):
        raise ParsimonyError("every removed weight must still be zero after retraining")
    return Retrained(
        {
            "method": "+".join(map(str, parse(method))),
            "trainable": trainable,
            "parameters": total,
            "share": trainable / total,
            "steps": settings.steps,
            "zeros": masking.sparsity(masks),
        },
        attached.kept,
    )


def check_share(method: str, trainable: int, total: int, allowed: float | None) -> None:
    """Refuse to train more than is allowed.

    Args:
        method: for the message.
        trainable: parameters that would train.
        total: of the model.
        allowed: largest share, in (0, 1]; ``None`` for any.

    Raises:
        BudgetError: with the share that it takes.
    """
    if allowed is not None and trainable > allowed * total:
        raise BudgetError(
            f"at most {allowed:.4%} of the parameters may train",
            got=f"{method}: {trainable:,} of {total:,}",
            nearest=f"trainable={trainable / total:.4%}",
        )


class Sliver(nn.Module):
    """A model as the trainer sees it: its parameters, and so its checkpoints, are what trains.

    Args:
        model: what runs; not a submodule.
        attached: what trains of it.
    """

    def __init__(self, model: nn.Module, attached: Attached) -> None:
        super().__init__()
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "attached", attached)
        for name, parameter in attached.parameters.items():
            self.register_parameter(name.replace(".", "/"), parameter)

    def forward(self, **batch: Any) -> Any:
        """What the model makes of a batch."""
        with self.attached.computing():
            return self.model(**batch)

    def train(self, mode: bool = True) -> Sliver:
        """Put the model into training or evaluation mode."""
        self.model.train(mode)
        return super().train(mode)

    def gradient_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """Let the model compute activations again in the backward pass."""
        self.model.gradient_checkpointing_enable(*args, **kwargs)


@torch.no_grad()
def _fingerprints(model: nn.Module, attached: Attached) -> dict[str, int]:
    """A hash of everything that must not change, by name."""
    return {
        name: int(torch.hash_tensor(value).view(torch.int64))
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor) and name not in attached.parameters and value.numel()
    }


def _claim(folder: Path, method: str, settings: TrainSettings) -> None:
    """Note what is retrained in a folder, or see that it is the same."""
    own = {"method": method, "settings": dataclasses.asdict(settings)}
    file = folder / _KEY
    if not file.is_file():
        artifacts.write_json(file, own)
    elif (found := artifacts.read_json(file)) != own:
        raise ArtifactError(
            f"{folder} holds a retraining with {found['method']} and other settings",
            got=method,
            hint="Go on with the same method and settings, or choose another folder",
        )
