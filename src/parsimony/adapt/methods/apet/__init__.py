"""APET: train an exact number of scalars at arbitrary places of a frozen model.

Su et al. 2023, Arbitrary Few Parameters are Good Enough (arXiv 2306.02320, section 4): tunable
weights of any shape and place, chosen at random for a given budget, added to a frozen model.
The authors' code walks over a shuffled pool of whole tensors and takes each that still fits.

What is ours: the scalar as a unit, so that the budget is met exactly; other laws of selection
beside the uniform one; W + D with D sparse instead of a changed W, so that the base keeps its
bits; whole units are compared with what remains (the authors look at a unit's first tensor and
may overshoot). A file holds positions and values, never a mask of the model's size. The gradient
of a dense layer's weight is never formed while few of its scalars train (see ``SparseProduct``);
that of other layers is formed and dropped within the backward pass.

Running statistics of normalisation are no parameters and stay as they are. It adapts tensors of
the model, which a quantized base no longer has. A tied tensor is one storage: it is counted once,
its scalars act in the first of its layers and are not merged.
"""

import peft
import torch
from torch import nn

from parsimony.adapt.method import Facts, Method
from parsimony.adapt.methods.apet.selection import ApetConfig, from_mask
from parsimony.adapt.methods.apet.tuner import ApetLayer, ApetModel, places

__all__ = ["Apet", "ApetConfig", "ApetLayer", "ApetModel", "from_mask", "places"]


class Apet(Method):
    """Scalars at random places of the dense weights outside the head; the size is their number."""

    name = "apet"
    source = "arXiv 2306.02320"
    size_name = "scalars"
    learning_rates = (1e-3, 1e-1)

    def refusal(self, facts: Facts) -> str | None:
        return None if self._layers(facts) else "the model has no linear layer outside its head"

    def sizes(self, facts: Facts) -> list[int]:
        total = sum(rows * columns for rows, columns in self._layers(facts).values())
        return [2**k for k in range(6, total.bit_length()) if 2**k <= total]

    def _layers(self, facts: Facts) -> dict[str, tuple[int, int]]:
        words = getattr(facts.config, "vocab_size", None)  # the output layer is often tied
        return {name: shape for name, shape in facts.linear.items() if shape[1] != words}

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        # Biases are left out: that of a key has no effect on attention, and so no gradient.
        return ApetConfig(
            task_type=facts.task_type,
            target_modules=list(self._layers(facts)),
            budget=size,
            biases=False,
        )

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        torch.manual_seed(seed)  # of a head that peft may draw
        config = self.config(facts, size, dropout)
        config.seed = seed  # type: ignore[attr-defined]
        return peft.get_peft_model(model, config)
