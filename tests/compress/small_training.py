"""Rows and settings of the trainings that tests of this area share."""

from __future__ import annotations

from typing import Any

import torch
from compressed import windows

from parsimony.compress import retraining
from parsimony.core.training import TrainSettings


class Rows:
    """Windows of random tokens as rows."""

    def __init__(self, count: int = 16) -> None:
        self.ids = windows(count, 12)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index]}


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    ids = torch.stack([row["input_ids"] for row in rows])
    return {"input_ids": ids, "labels": ids}


def settings(steps: int = 6, **given: Any) -> TrainSettings:
    return retraining.settings(steps, **{"learning_rate": 1e-2, "batch_size": 4, **given})


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
