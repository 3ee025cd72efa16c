"""MaskLoRA-Std: LoRA's cheaper forward pass at first, MaskLoRA's from a step on.

The paper's later versions name it and we could not verify its recipe; this is our reading. At the
switch W + s B A becomes W + s M o (B A) with the same A and B. Folding the first part into W would
be the same function; left in the factors, the rank stays r and a checkpoint holds all of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import TrainerCallback

from parsimony.compress.masks import Masks
from parsimony.compress.retrain.masklora import MaskLoraConfig, put_on
from parsimony.compress.retrainer import Part, Retrainer
from parsimony.core.errors import InputError


class MaskFrom(TrainerCallback):  # type: ignore[misc]
    """Switches the mask on in training.

    Args:
        config: of the adapter on the model.
        share: of the steps that the mask does not count in, in [0, 1].
    """

    def __init__(self, config: MaskLoraConfig, share: float) -> None:
        self._config, self._share = config, share

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._config.masked = state.global_step >= round(self._share * state.max_steps)


@dataclass(frozen=True)
class MaskLoraStd(Retrainer):
    """LoRA's forward pass, then MaskLoRA's.

    Attributes:
        r: rank.
        alpha: numerator of the scale s = alpha / r.
        standard: share of the steps with LoRA's forward pass, in [0, 1].
    """

    name = "masklora-std"
    changes_weights = True

    r: int = 16
    alpha: float = 32.0
    standard: float = 0.5

    def check(self, root: nn.Module, masks: Masks) -> None:
        if not 0 <= self.standard <= 1:
            raise InputError("'standard' is a share of the steps, 0 to 1", got=self.standard)

    def attach(self, root: nn.Module, masks: Masks) -> Part:
        part = put_on(root, masks, self.r, self.alpha, masked=False)
        assert part.adapter is not None
        config = part.adapter.peft_config["default"]
        return dataclasses.replace(part, callbacks=(MaskFrom(config, self.standard),))
