"""Rows to train a UNet on: latents, each with a time step and noise of its own.

    x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps          Ho et al. 2020, arXiv 2006.11239, equation 4

A row depends on its number and the seed alone, so that a training that is resumed, or split over
parts and processes, sees what an undisturbed one would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from parsimony.core.errors import InputError, nearest

# What a network predicts: of (x_0, eps, a_t).
TARGETS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": lambda x, eps, a: eps,
    "v_prediction": lambda x, eps, a: a.sqrt() * eps - (1 - a).sqrt() * x,
    "sample": lambda x, eps, a: x,
}


class NoisedRows(Dataset[dict[str, Tensor]]):
    """Latents with noise, in numbers: row i is latent i modulo their count.

    Args:
        latents: x_0, [images, channels, height, width].
        contexts: what each is of, [images, tokens, width].
        scheduler: of the teacher, any of diffusers' with ``alphas_cumprod``; its
            ``prediction_type`` decides what the network is trained to say.
        count: rows; steps times batch size, so that no noise comes twice.
        seed: of time steps and noise.

    Raises:
        InputError: as many contexts as latents are needed; a scheduler of flow matching or another
            prediction type.
    """

    def __init__(
        self, latents: Tensor, contexts: Tensor, scheduler: Any, count: int, seed: int = 0
    ) -> None:
        if latents.ndim != 4 or contexts.ndim != 3 or len(latents) != len(contexts):
            raise InputError(
                "latents [images, channels, height, width] need contexts [images, tokens, width]",
                got=(tuple(latents.shape), tuple(contexts.shape)),
            )
        if not hasattr(scheduler, "alphas_cumprod"):
            raise InputError(
                "the scheduler must add noise by alphas_cumprod", got=type(scheduler).__name__,
                hint="Give the one that the teacher was trained with, such as DDPMScheduler",
            )  # fmt: skip
        kind = str(scheduler.config.prediction_type)
        if kind not in TARGETS:
            raise InputError(
                "the teacher must predict noise, velocity or the sample", got=kind,
                hint=nearest(kind, TARGETS),
            )  # fmt: skip
        self.latents, self.contexts, self._count, self._seed = latents, contexts, count, seed
        self._target, self._alphas = TARGETS[kind], scheduler.alphas_cumprod

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        own = np.random.SeedSequence([self._seed, index]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(own))
        x = self.latents[index % len(self.latents)]
        step = torch.randint(len(self._alphas), (), generator=generator)
        eps = torch.randn(x.shape, generator=generator).to(x)
        a = self._alphas[step].to(x)
        return {
            "sample": a.sqrt() * x + (1 - a).sqrt() * eps,
            "timestep": step,
            "encoder_hidden_states": self.contexts[index % len(self.contexts)],
            "target": self._target(x, eps, a),
        }


def collate(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch; ``labels`` are the time steps, which is what the trainer counts rows by."""
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return {**batch, "labels": batch["timestep"]}
