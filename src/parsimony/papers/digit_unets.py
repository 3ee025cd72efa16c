"""Tiny UNets that draw scikit-learn's digits, really trained: what cards of diffusion measure on.

Images are 16 x 16, each pixel of the originals four times. A digit is a context of four fixed
random tokens: with one, cross-attention would not depend on the image. All training goes through
``compress.assembly``, one thread, and depends on the seeds alone.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import UNet2DConditionModel

HELD_OUT = 360
"""Images that nothing is trained on, the last ones; each is scored with two draws of noise."""
BATCH = 16
RATE = 1e-3
"""Learning rate of everything here; not searched."""
_WIDTH = 32


@functools.cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images [1797, 1, 16, 16] in [-1, 1] and their contexts [1797, 4, 32].

    Raises:
        MissingExtraError: torch or scikit-learn is not installed.
    """
    torch = require("torch", "compress")
    pixels, labels = require("sklearn.datasets", "adapt").load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    tokens = torch.randn(10, 4, _WIDTH, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(images, scale_factor=2), tokens[torch.tensor(labels)]


def network(seed: int, **changes: Any) -> UNet2DConditionModel:
    """A UNet of 0.52 M parameters with random weights; attention at 4 x 4 alone.

    Args:
        seed: of the weights.
        changes: to its config.
    """
    torch, diffusers = require("torch", "compress"), require("diffusers", "diffusion")
    settings = {
        "sample_size": 16,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        "norm_num_groups": 8,
        "cross_attention_dim": _WIDTH,
        "attention_head_dim": 2,
    }
    torch.manual_seed(seed)
    built: UNet2DConditionModel = diffusers.UNet2DConditionModel(**settings | changes)
    return built


@functools.cache
def teacher(steps: int = 400) -> UNet2DConditionModel:
    """A network trained on the task alone; shared, not to be changed."""
    from parsimony.compress.assembly import train_joint

    found = network(0)
    _train(train_joint, None, found, steps, 0, weights=_task())
    return found


@functools.cache
def assembled(
    seeds: int = 3, pieces: int = 60, joint: int = 60, taught: int = 400
) -> dict[str, np.ndarray]:
    """Errors of one light UNet after three trainings of ``pieces + joint`` gradient steps.

    Every block of the teacher is made light. Arms: ``"pieces first"`` trains each light block for
    ``pieces`` steps, then all together for ``joint``; ``"joint only"`` trains all together;
    ``"from scratch"`` draws its weights and has no teacher.

    Args:
        seeds: of the order of images, of noise and, from scratch, of weights.
        pieces: steps.
        joint: steps.
        taught: steps of the teacher's own training.

    Returns:
        Mean squared error of the predicted noise, [seeds, held-out rows], by arm.
    """
    numpy = require("numpy", "compress")
    from parsimony.compress.assembly import Plan, assemble, train_joint, train_pieces

    old, plan = teacher(taught), Plan(light=("D0", "D1", "D2"))
    errors: dict[str, list[Any]] = {"pieces first": [], "joint only": [], "from scratch": []}
    for seed in range(1, seeds + 1):
        student = assemble(old, plan)
        _train(train_pieces, old, student, pieces, seed)
        _train(train_joint, old, student, joint, seed + 100)
        errors["pieces first"].append(held_out(student))
        student = assemble(old, plan)
        _train(train_joint, old, student, pieces + joint, seed)
        errors["joint only"].append(held_out(student))
        student = network(seed, layers_per_block=student.config.layers_per_block)
        _train(train_joint, None, student, pieces + joint, seed, weights=_task())
        errors["from scratch"].append(held_out(student))
    return {arm: numpy.stack(rows) for arm, rows in errors.items()}


def held_out(unet: UNet2DConditionModel) -> np.ndarray:
    """Mean squared error of the predicted noise for each of ``2 * HELD_OUT`` rows."""
    torch = require("torch", "compress")
    from parsimony.compress.assembly.noising import collate

    rows = _rows(slice(-HELD_OUT, None), 2 * HELD_OUT, seed=1_000_003)
    batch = collate([rows[i] for i in range(len(rows))])
    del batch["labels"]
    target = batch.pop("target")
    unet.eval()
    with torch.inference_mode():
        errors: np.ndarray = (unet(**batch).sample - target).square().mean((1, 2, 3)).numpy()
    return errors


def _train(run: Any, old: Any, unet: Any, steps: int, seed: int, **options: Any) -> None:
    from parsimony.compress.assembly import settings

    rows = _rows(slice(-HELD_OUT), steps * BATCH, seed)
    with tempfile.TemporaryDirectory() as folder:
        recipe = settings(steps, RATE, batch_size=BATCH, seed=seed)
        run(old, unet, rows, recipe, Path(folder), keep=False, **options)


def _rows(images: slice, count: int, seed: int) -> Any:
    from parsimony.compress.assembly import NoisedRows

    scheduler = require("diffusers", "diffusion").DDPMScheduler()
    latents, contexts = digits()
    return NoisedRows(latents[images], contexts[images], scheduler, count, seed)


def _task() -> Any:
    from parsimony.compress.assembly import Weights

    return Weights(task=1.0, output=0.0, feature=0.0)
