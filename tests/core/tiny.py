"""Models, tokenizer and rows small enough to train in a test; the subprocesses import them too."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import peft
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from parsimony.core.scoring import Collator, EncodedRows
from parsimony.core.training import TrainSettings

WORDS = ["red", "green", "blue", "small", "large", "round", "flat", "warm", "cold", "heavy"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tokenizer(padding_side: str = "right") -> PreTrainedTokenizerFast:
    """One token per word, [CLS] and [SEP] around."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=padding_side,
    )


def table(count: int = 40, labels: int = 2) -> pd.DataFrame:
    """Made-up texts of 1 to 7 words; the label follows the first word."""
    texts = [
        " ".join(WORDS[(row * 3 + k * k) % len(WORDS)] for k in range(1 + row % 7))
        for row in range(count)
    ]
    return pd.DataFrame(
        {"text": texts, "label": [WORDS.index(t.split()[0]) % labels for t in texts]}
    )


def rows(count: int = 40, window: int = 16) -> EncodedRows:
    """``table`` as token ids."""
    return EncodedRows(table(count), tokenizer(), window)


def collator(task: str = "text-classification") -> Collator:
    """Batches of ``rows``."""
    return Collator(tokenizer(), task)


def bert_config(labels: int = 2, **changes: object) -> BertConfig:
    """Hidden size 32, two layers."""
    return BertConfig(
        **{
            "vocab_size": len(SPECIAL + WORDS), "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32,
            "num_labels": labels, **changes,
        }
    )  # fmt: skip


def bert(seed: int = 0, labels: int = 2, **changes: object) -> BertForSequenceClassification:
    """A random classifier."""
    torch.manual_seed(seed)
    return BertForSequenceClassification(bert_config(labels, **changes))


def gpt2(seed: int = 0) -> GPT2LMHeadModel:
    """A random causal language model with tied embeddings."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(SPECIAL + WORDS), n_embd=32, n_layer=2, n_head=2, n_positions=32,
        bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def lora(model: nn.Module, seed: int = 0) -> peft.PeftModel:
    """LoRA with dropout on query and value; the head trains too."""
    torch.manual_seed(seed)
    return peft.get_peft_model(
        model,
        peft.LoraConfig(
            task_type="SEQ_CLS", r=2, lora_dropout=0.1, target_modules=["query", "value"]
        ),
    )


def settings(**changes: object) -> TrainSettings:
    """Twelve steps of eight rows."""
    return TrainSettings(**{"learning_rate": 5e-3, "steps": 12, "batch_size": 8, **changes})


def final_bytes(folder: Path, step: int = 12) -> dict[str, bytes]:
    """What must not depend on how often a training was stopped."""
    checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
    names = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt")
    found = {name: (checkpoint / name).read_bytes() for name in names}
    return found | {"events.jsonl": (folder / "events.jsonl").read_bytes()}
