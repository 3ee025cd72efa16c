"""Tiny language models of bytes, really trained: what cards measure laws and schedules on.

The text is the source of the running Python's standard library; no file is in two splits. A token
is a byte. All training goes through ``core.training``, one thread, and depends on the seed alone.
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from parsimony.core.training import TrainSettings

CONTEXT = 64
"""Tokens of a sequence."""
HELD_OUT = 128
"""Sequences of the validation files that every loss is measured on."""


@functools.cache
def windows(split: str, encoding: str = "utf-8") -> torch.Tensor:
    """Sequences of a split of ``stdlib-code`` that do not overlap; uint8 [sequences, CONTEXT].

    Args:
        split: ``"train"`` or ``"validation"``.
        encoding: ``"ascii"`` has 128 values, and "?" for every other character.

    Raises:
        MissingExtraError: torch or pandas is not installed.
    """
    torch = require("torch", "adapt")
    from parsimony.core.data import load

    text = "".join(load("stdlib-code").splits[split]["text"]).encode(encoding, "replace")
    whole = len(text) // CONTEXT * CONTEXT
    found: torch.Tensor = torch.frombuffer(bytearray(text[:whole]), dtype=torch.uint8)
    return found.view(-1, CONTEXT)


def decoder(width: int, seed: int, layers: int = 2) -> nn.Module:
    """A GPT-2 of bytes with random weights: heads of 16, MLP of 4 widths, no dropout.

    Args:
        width: of the residual stream, a multiple of 16; 12 layers width^2 weights without
            embeddings, biases and norms.
        seed: of the weights.
        layers: number of blocks.
    """
    torch = require("torch", "adapt")
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=256,
            n_positions=CONTEXT,
            n_embd=width,
            n_layer=layers,
            n_head=width // 16,
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def size(model: nn.Module) -> int:
    """Parameters without embeddings."""
    return sum(p.numel() for name, p in model.named_parameters() if ".wte." not in name
               and ".wpe." not in name)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training of ``decoder``.

    Attributes:
        batch: sequences per step.
        steps: optimizer steps.
        rate: peak learning rate of AdamW (no weight decay).
        seed: of weights and order of the data.
        width: see ``decoder``.
        schedule: by name, see ``core.schedules``.
        stages: its options by name; without ``decay_tokens`` there is no decay.
    """

    batch: int
    steps: int
    rate: float
    seed: int
    width: int = 32
    schedule: str = "wsd"
    stages: tuple[tuple[str, Any], ...] = ()


@functools.cache
def train_run(run: Run, points: int = 1) -> dict[int, float]:
    """Train, unless this process has done so before, and return what ``train_bytes`` does.

    Args:
        run: what to train.
        points: how many validation losses, evenly spaced in the logarithm of the steps from the
            tenth on; the last step's alone by default.
    """
    require("torch", "adapt")
    from parsimony.core.training import TrainSettings

    first = run.steps if points == 1 else 10
    at = {round(first * (run.steps / first) ** (i / max(1, points - 1))) for i in range(points)}
    options = {**({} if run.schedule == "cosine" else {"decay_tokens": 0}), **dict(run.stages)}
    return train_bytes(
        decoder(run.width, run.seed),
        TrainSettings(
            run.rate, run.steps, batch_size=run.batch, seed=run.seed, schedule=run.schedule,
            schedule_options=options,
        ),
        at=frozenset(at),
    )  # fmt: skip


def train_bytes(
    model: nn.Module,
    settings: TrainSettings,
    *,
    at: frozenset[int],
    texts: torch.Tensor | None = None,
    prompt: int = 0,
    loss: Callable[[nn.Module], float] | None = None,
    **options: Any,
) -> dict[int, float]:
    """Train in place, and measure the validation loss after the steps in ``at``.

    Args:
        model: takes ``input_ids`` and ``labels`` of vocabulary 256, as transformers' models do.
        settings: ``batch_size`` counts sequences; no sequence comes twice before all have come.
        at: steps; the last one is ``settings.steps`` as a rule.
        texts: to train on, [sequences, length]; ``windows("train")`` by default.
        prompt: leading tokens of a text that are given and not learned.
        loss: what is measured; ``validation_loss`` by default.
        options: of ``core.training.train``.

    Returns:
        What was measured, nats per token by step; not a number at every step where the training
        diverged.
    """
    import torch

    from parsimony.core.training import DivergedError, train

    losses: dict[int, float] = {}

    def evaluate(trained: nn.Module, step: int) -> float:
        losses[step] = (loss or validation_loss)(trained)
        return losses[step]

    rows: Any = Texts(windows("train") if texts is None else texts)
    batches = functools.partial(collate, prompt=prompt)
    state = torch.random.get_rng_state()
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(
                model, rows, batches, settings, Path(folder), keep=False,
                evaluate=evaluate, evaluate_at=at, **options,
            )  # fmt: skip
        except DivergedError:
            losses = dict.fromkeys(sorted(at), math.nan)
    torch.random.set_rng_state(state)
    return losses


def mean_of_seeds(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Mean, and ends of its 95 % interval by Student's t; at least two values."""
    from parsimony.core.significance import interval

    return sum(values) / len(values), interval(values, [0.0] * len(values))


def validation_loss(model: nn.Module, encoding: str = "utf-8") -> float:
    """Mean nats per token over the ``HELD_OUT`` sequences of the held-out files."""
    import torch

    from parsimony.core.evaluating import evaluating

    texts = held_out(encoding)
    with evaluating(model), torch.inference_mode():
        return float(model(input_ids=texts, labels=texts).loss)


def sequence_losses(model: nn.Module) -> np.ndarray:
    """Nats per token of each of the sequences that ``validation_loss`` averages, [HELD_OUT]."""
    import torch

    texts = held_out()
    model.eval()
    with torch.inference_mode():
        logits = model(input_ids=texts).logits[:, :-1].transpose(1, 2)
        losses = torch.nn.functional.cross_entropy(logits, texts[:, 1:], reduction="none")
    return losses.mean(1).double().numpy()


@functools.cache
def held_out(encoding: str = "utf-8") -> torch.Tensor:
    """``HELD_OUT`` sequences, spread evenly over the held-out files; int64 [HELD_OUT, CONTEXT]."""
    texts = windows("validation", encoding)
    return texts[:: len(texts) // HELD_OUT][:HELD_OUT].long()


@dataclass(frozen=True)
class Texts:
    """Sequences as the rows that ``core.training`` takes.

    Attributes:
        texts: as ``windows`` returns them.
    """

    texts: torch.Tensor

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.texts[index]}


def collate(rows: list[dict[str, Any]], prompt: int = 0) -> dict[str, torch.Tensor]:
    """A batch of rows of ``Texts``; every byte after the prompt is a label."""
    import torch

    texts = torch.stack([row["input_ids"] for row in rows]).long()
    labels = texts.clone()
    labels[:, :prompt] = -100
    return {"input_ids": texts, "labels": labels}
