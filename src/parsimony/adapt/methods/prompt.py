"""Prompt tuning: trained vectors in front of the text (Lester et al. 2021, 2104.08691)."""

import peft
import torch
from torch import nn

from parsimony.adapt.method import Facts, Method

TOKENS = [1, 2, 4, 8, 16, 32, 64]


class Prompt(Method):
    """Virtual tokens at the input layer."""

    name = "prompt"
    source = "arXiv 2104.08691"
    size_name = "tokens"
    learning_rates = (3e-3, 1e-1)
    mergeable = False
    changes_at_start = True

    def refusal(self, facts: Facts) -> str | None:
        if facts.config.is_encoder_decoder:
            return "peft has no prompts for encoder-decoder models"
        if not facts.embedding:
            return "peft puts prompts among word embeddings, and this model reads patches"
        # Vectors hide the padding from the model, which then reads its answer on top of it.
        if "score" in facts.head:
            return "the model reads its label at the last token, which prompts hide from it"
        return None

    def sizes(self, facts: Facts) -> list[int]:
        # They take their places from the window; leave it at least half.
        positions = getattr(facts.config, "max_position_embeddings", 128)
        return [tokens for tokens in TOKENS if tokens <= positions // 2]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return peft.PromptTuningConfig(
            task_type=facts.task_type,
            num_virtual_tokens=size,
            # Given, because peft looks for them under fewer names than there are.
            token_dim=facts.embedding,
            num_layers=facts.config.num_hidden_layers,
            num_attention_heads=facts.config.num_attention_heads,
        )

    def apply(
        self, model: nn.Module, facts: Facts, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        torch.manual_seed(seed)
        return wrapped(model, self.config(facts, size, dropout))


def wrapped(model: nn.Module, config: peft.PeftConfig) -> peft.PeftModel:
    """``model`` with virtual tokens.

    peft keeps their numbers in a plain dictionary, where nothing gives them values again when the
    model is traced without storage.
    """
    made = peft.get_peft_model(model, config)
    for name, tokens in made.prompt_tokens.items():
        made.prompt_tokens[name] = torch.arange(len(tokens), device="cpu")
    return made
