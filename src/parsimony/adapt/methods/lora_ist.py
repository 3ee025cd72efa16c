"""LoRA whose layers take turns: a quarter of them trains at a step, drawn by their importance.

The method of ``adapt/importance_sparse_tuning`` (arXiv 2410.11772) on LoRA's default targets. A
task head trains at every step. What is predicted before a run is the step that trains all layers:
a draw may hold the lowest one, and then nearly as much is kept for the backward pass.

It needs four layers, of which one trains at a step.
"""

from __future__ import annotations

import re
from collections import Counter

from torch import nn
from transformers import TrainerCallback

from parsimony.adapt.importance_sparse_tuning import ImportanceSparseTuning
from parsimony.adapt.method import Facts
from parsimony.adapt.methods.lora import Lora

LEAST_LAYERS = 4


class LoraIst(Lora):
    """Found by ``parsimony adapt``."""

    name = "lora-ist"
    source = "arXiv 2410.11772"

    def refusal(self, facts: Facts) -> str | None:
        # A layer's modules share the path up to its number in the list of layers.
        paths = {m[0] for n in facts.targeted(facts.targets()) if (m := re.match(r".*?\.\d+\.", n))}
        lists = Counter(re.sub(r"\d+\.$", "", path) for path in paths)
        count = max(lists.values(), default=0)
        if count < LEAST_LAYERS:
            return f"it needs at least {LEAST_LAYERS} layers to train a quarter of, not {count}"
        return super().refusal(facts)

    def callbacks(self, model: nn.Module, steps: int) -> list[TrainerCallback]:
        return [ImportanceSparseTuning()]
