"""In-context examples: training rows in front of every prompt, and no training (2005.14165)."""

import numpy as np
import peft
import torch
from torch import nn

from parsimony.adapt.method import Facts
from parsimony.adapt.methods.prompt import Prompt, wrapped

EXAMPLES = [1, 2, 3, 4, 6, 8]


class InContext(Prompt):
    """A prompt of virtual tokens that are the tokens of ``k`` examples, drawn by the seed.

    Each example is a whole row as training reads it, prompt, answer and end mark; they and the
    row that is asked follow one another. So the artifact is peft's, and needs no data beside it.
    """

    name = "in-context"
    source = "Brown et al. 2020, arXiv 2005.14165"
    size_name = "k"
    baseline = True
    trains = False

    def refusal(self, facts: Facts) -> str | None:
        if not facts.examples:
            return "there are no prompts with answers to show, or none that the window leaves whole"
        return super().refusal(facts)

    def sizes(self, facts: Facts) -> list[int]:
        return [k for k in EXAMPLES if k <= len(facts.examples)]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        """With room for the longest examples, so that a size fits whatever the seed draws."""
        longest = sorted(map(len, facts.examples))[-size:]
        return super().config(facts, sum(longest), dropout)

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        drawn = np.random.default_rng(seed).permutation(len(facts.examples))[:size]
        shown = [token for number in drawn for token in facts.examples[number]]
        embedding = model.get_input_embeddings()  # type: ignore[operator]
        with torch.no_grad():
            vectors = embedding(torch.tensor(shown, device=embedding.weight.device)).float()
        made = wrapped(model, super().config(facts, len(shown), dropout))
        for encoder in made.prompt_encoder.values():
            encoder.embedding.weight.data = vectors
        return made.requires_grad_(False)
