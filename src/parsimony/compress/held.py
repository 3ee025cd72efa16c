"""Weights that train under keep-masks, as if every forward pass used weight times mask.

Two things make the stored weight itself do: gradients of removed weights are zeroed when they
arrive, before anything is made of them (norms to clip, moments), and removed weights are zeroed
after each step, since the moments of a weight that has only just been removed would move it. What
is kept trains to the bit as under a parametrization, and the model stays a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback


class Held(TrainerCallback):  # type: ignore[misc]
    """Holds removed weights at zero in any ``Trainer``, from its making to ``release``.

    Args:
        masks: keep-masks by parameter.
    """

    def __init__(self, masks: Mapping[nn.Parameter, Tensor]) -> None:
        self._removed = {p: ~mask.to(p.device) for p, mask in masks.items()}
        self._hooks = [p.register_hook(self._masked(p)) for p in self._removed]
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Zero what is removed."""
        for parameter, removed in self._removed.items():
            parameter.masked_fill_(removed, 0)

    def release(self) -> None:
        """Let the weights go."""
        for hook in self._hooks:
            hook.remove()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.apply()

    def _masked(self, parameter: nn.Parameter) -> Any:
        return lambda gradient: gradient.masked_fill(self._removed[parameter], 0)
