"""Linear layers and the output projection are prunable; embeddings, norms and biases are not."""

from __future__ import annotations

import pytest
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from parsimony.core import cost
from parsimony.core.errors import InputError
from parsimony.core.prunable import prunable

BLOCK = 4 * 8 * 8 + 3 * 8 * 20


@pytest.mark.parametrize(("tied", "count"), [(False, 2 * BLOCK + 30 * 8), (True, 2 * BLOCK)])
def test_a_tied_output_stays(tied: bool, count: int) -> None:
    config = LlamaConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
        vocab_size=30, tie_word_embeddings=tied,
    )  # fmt: skip
    found = prunable(cost.on_meta(lambda: LlamaForCausalLM(config)))
    assert sum(weight.numel() for weight in found.values()) == count
    assert ("lm_head.weight" in found) is not tied
    assert "model.layers.1.mlp.down_proj.weight" in found


def test_gpt2_keeps_its_matrices_in_another_class() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=30))
    assert sum(weight.numel() for weight in prunable(model).values()) == 2 * 12 * 8 * 8


def test_a_model_without_matrices_is_refused() -> None:
    with pytest.raises(InputError, match="has no linear layer to prune, but got 'Embedding'"):
        prunable(nn.Embedding(3, 2))
