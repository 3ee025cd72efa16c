"""Small models of random weights, and the linear layers in them."""

from __future__ import annotations

import torch
import transformers
from torch import nn
from transformers.pytorch_utils import Conv1D


def llama(
    dtype: torch.dtype = torch.bfloat16, tied: bool = False, hidden: int = 64
) -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
    )
    return _made(transformers.LlamaForCausalLM, config, dtype)


def gpt2(dtype: torch.dtype = torch.float16) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=32,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return _made(transformers.GPT2LMHeadModel, config, dtype)


def bert(dtype: torch.dtype = torch.float32) -> transformers.BertForSequenceClassification:
    config = transformers.BertConfig(
        vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=32,
    )  # fmt: skip
    return _made(transformers.BertForSequenceClassification, config, dtype)


def vit(dtype: torch.dtype = torch.float32) -> transformers.ViTForImageClassification:
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        image_size=8, patch_size=4, num_channels=1,
    )  # fmt: skip
    return _made(transformers.ViTForImageClassification, config, dtype)


def t5(dtype: torch.dtype = torch.float32) -> transformers.T5ForConditionalGeneration:
    config = transformers.T5Config(
        vocab_size=96, d_model=64, d_ff=64, num_layers=1, num_heads=4, d_kv=16,
        decoder_start_token_id=0,
    )  # fmt: skip
    return _made(transformers.T5ForConditionalGeneration, config, dtype)


def _made(kind, config, dtype):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = kind(config).eval()
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    for parameter in model.parameters():  # buffers keep their type, as they do on loading
        parameter.data = parameter.data.to(dtype)
    return model


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of all linear layers but the output's, shape (outputs, inputs)."""
    head = model.get_output_embeddings()
    return {
        name: (layer.weight if isinstance(layer, nn.Linear) else layer.weight.T).detach()
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and layer is not head
    }


def coded(model: nn.Module, grid) -> dict:
    return {name: grid.codes(weight, name=name) for name, weight in weights(model).items()}
