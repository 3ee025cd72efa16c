"""Tiny random models for tests: whole on disk, a few thousand parameters, made in milliseconds.

Three architectures cover what a method of adaptation meets: an encoder with biases and
LayerNorms (BERT), a decoder whose linear layers are Conv1D and whose head is tied (GPT-2), and a
decoder without biases, with RMSNorms and grouped keys (Llama). Every parameter is random, so
that no zero bias and no unit scale hides a defect; there is no dropout in the base.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from parsimony.adapt.setup import Setup
from parsimony.core import pretrained
from parsimony.core.errors import InputError, nearest

HIDDEN = 32
FEEDFORWARD = 64
LAYERS = 2
LLAMA_LAYERS = 4  # the fewest of which a method can train a quarter
HEADS = 2
POSITIONS = 64

_SPECIAL = ["[PAD]", "[CLS]", "[SEP]"]
_VOCABULARY = {
    token: index
    for index, token in enumerate([*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])
}
ARCHITECTURES = ("bert", "gpt2", "llama")


def write(folder: Path, architecture: str = "bert", seed: int = 0) -> Path:
    """Write config, safetensors and tokenizer of a random model, as ``from_pretrained`` reads them.

    Args:
        folder: where to; made if need be.
        architecture: ``"bert"`` (no task head), ``"gpt2"`` or ``"llama"`` (language models).
        seed: of the weights.

    Returns:
        ``folder``

    Raises:
        InputError: an unknown architecture.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(
            "unknown architecture", got=architecture, hint=nearest(architecture, ARCHITECTURES)
        )
    model(architecture, seed).save_pretrained(folder, safe_serialization=True)
    tokenizer(architecture).save_pretrained(folder)
    return folder


def model(architecture: str, seed: int = 0) -> Any:
    """The same random model without a folder, in evaluation mode."""
    auto: Any = (
        transformers.AutoModel if architecture == "bert" else transformers.AutoModelForCausalLM
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        made = auto.from_config(config(architecture))
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return made.eval()


def config(architecture: str) -> PretrainedConfig:
    """The config of one of ``ARCHITECTURES``; no dropout."""
    if architecture == "bert":
        return transformers.BertConfig(
            vocab_size=len(_VOCABULARY),
            hidden_size=HIDDEN,
            intermediate_size=FEEDFORWARD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=POSITIONS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=_VOCABULARY["[PAD]"],
        )
    ends: dict[str, Any] = {
        "bos_token_id": _VOCABULARY["[CLS]"],
        "eos_token_id": _VOCABULARY["[SEP]"],
    }
    if architecture == "gpt2":
        return transformers.GPT2Config(
            vocab_size=len(_VOCABULARY),
            n_embd=HIDDEN,
            n_inner=FEEDFORWARD,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=POSITIONS,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
            **ends,
        )
    return transformers.LlamaConfig(
        vocab_size=len(_VOCABULARY),
        hidden_size=HIDDEN,
        intermediate_size=FEEDFORWARD,
        num_hidden_layers=LLAMA_LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=1,
        max_position_embeddings=POSITIONS,
        **ends,
    )


def tokenizer(architecture: str = "bert") -> PreTrainedTokenizerFast:
    """One token per byte, so that any text has one.

    BERT's frames a text as ``[CLS] text [SEP]`` and a pair as ``[CLS] text [SEP] pair [SEP]``;
    the decoders' adds nothing and, like the originals, has no padding token.
    """
    made = Tokenizer(models.BPE(vocab=_VOCABULARY, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    if architecture == "bert":
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(token, _VOCABULARY[token]) for token in ("[CLS]", "[SEP]")],
        )
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
    else:
        names = {"bos_token": "[CLS]", "eos_token": "[SEP]"}
        inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=POSITIONS,
        model_input_names=inputs,
        **names,
    )


def setup(folder: Path, task: str, labels: tuple[str, ...] = (), **shape: int) -> Setup:
    """What ``adapt.solve`` asks for a model that ``write`` wrote; there is no data behind it.

    Args:
        folder: of the model.
        task: see ``core.data.Task``.
        labels: class names where the task is classification.
        shape: ``window`` (tokens, 8 by default) and ``batch`` (rows, 4 by default).
    """
    return Setup(
        model=pretrained.find(str(folder)),
        data="made up",
        task=task,
        labels=labels,
        text=("text",),
        label=None if task in pretrained.NEXT_TOKEN else "label",
        fingerprint="",
        window=shape.get("window", 8),
        batch=shape.get("batch", 4),
        device="cpu",
        threads=1,
        folder=folder,
    )
