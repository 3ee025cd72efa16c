"""A small training to try a study with: a two-layer network on scikit-learn's digits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from parsimony.core.errors import require
from parsimony.core.training import TrainSettings
from parsimony.core.training import train as train_model
from parsimony.plan.energy_study.precision import arithmetic


class Network(nn.Module):
    """64 grey levels -> ``width`` -> ``width`` -> 10 digits; gives loss and logits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 10),
        )  # fmt: skip

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.layers(pixels)
        return {"loss": nn.functional.cross_entropy(logits.float(), labels), "logits": logits}


def train(
    seed: int,
    precision: str = "fp32",
    width: int = 64,
    steps: int = 200,
    batch: int = 64,
    device: str = "cpu",
) -> dict[str, float]:
    """Train, and score on the last 360 of the 1,797 images.

    Args:
        seed: of weights and order.
        precision: see ``core.training.PRECISIONS``.
        width: of the hidden layers; a multiple of 8 suits tensor cores.
        steps: of the optimizer.
        batch: rows per step.
        device: ``"cpu"`` or ``"cuda"``.

    Returns:
        ``samples`` trained on, and ``accuracy`` in [0, 1].
    """
    pixels, labels = require("sklearn.datasets", "adapt").load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32) / 16
    digits = torch.tensor(labels)
    held = slice(len(digits) - 360, None)
    rows: Any = [
        {"pixels": image, "labels": digit}
        for image, digit in zip(images[: held.start], digits[: held.start], strict=True)
    ]

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {key: torch.stack([row[key] for row in batch]) for key in ("pixels", "labels")}

    torch.manual_seed(seed)
    network = Network(width)
    settings = TrainSettings(
        3e-3, steps, batch_size=batch, seed=seed, device=device, precision=precision
    )
    with arithmetic(precision, device), tempfile.TemporaryDirectory() as scratch:
        train_model(network, rows, collate, settings, Path(scratch), keep=False)
    network.eval()
    with torch.no_grad():
        logits = network(images[held].to(device), digits[held].to(device))["logits"].cpu()
    right = (logits.argmax(-1) == digits[held]).float().mean()
    return {"samples": float(steps * batch), "accuracy": float(right)}
