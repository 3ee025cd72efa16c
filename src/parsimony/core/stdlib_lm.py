"""A small language model for every machine: of bytes, trained here on Python's own library.

Nothing is downloaded. The first use trains it, on one thread, which takes some minutes, and keeps
it in the cache folder; what it learns depends on the running Python's library and on torch.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.core import artifacts
from parsimony.core.errors import require

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

NAME = "stdlib-lm"
_END = "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """How it is made.

    Attributes:
        width: of the hidden state.
        layers: transformer blocks.
        heads: of the attention.
        feedforward: width of the MLP.
        window: tokens of a sequence.
        batch: sequences per step.
        steps: optimizer steps.
        rate: peak learning rate of AdamW.
        seed: of weights and order.
    """

    width: int = 96
    layers: int = 3
    heads: int = 4
    feedforward: int = 256
    window: int = 128
    batch: int = 16
    steps: int = 1200
    rate: float = 4e-3
    seed: int = 0


def folder(recipe: Recipe = Recipe()) -> Path:
    """Where the model is, trained now if it is not there yet.

    Raises:
        MissingExtraError: torch, transformers or pandas is not installed.
    """
    require("torch", "compress")
    from parsimony.core.data import load
    from parsimony.core.run import made_once

    data = load("stdlib-code")
    with made_once(NAME, [asdict(recipe), data.fingerprint]) as home:
        if not artifacts.is_sealed(home):
            shutil.rmtree(home, ignore_errors=True)
            texts = list(data.splits["train"]["text"])
            with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
                _make(recipe, texts, Path(scratch))
                artifacts.seal(Path(scratch))
                shutil.copytree(scratch, home)
    return home


def tokenizer(longest: int = 128) -> PreTrainedTokenizerBase:
    """One token per byte, and one for the end of a text, which also pads; 257 in all.

    Args:
        longest: tokens that the model reads.
    """
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    fast: Any = transformers.PreTrainedTokenizerFast  # its types are not whole
    words = [_END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    found: PreTrainedTokenizerBase = fast(
        tokenizer_object=made, model_max_length=longest, eos_token=_END, pad_token=_END,
        bos_token=_END, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    return found


def untrained(recipe: Recipe) -> LlamaForCausalLM:
    """A Llama of bytes with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=257,
            hidden_size=recipe.width,
            intermediate_size=recipe.feedforward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            max_position_embeddings=recipe.window,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
            use_cache=False,
        )
    )


def _make(recipe: Recipe, texts: list[str], out: Path) -> None:
    from parsimony.core.inputs.joined import WindowRows, collate_windows, windows
    from parsimony.core.training import TrainSettings, train

    print(f"{NAME}: training it once, {recipe.steps} steps, some minutes", file=sys.stderr)
    words = tokenizer(recipe.window)
    model = untrained(recipe)
    rows = WindowRows(windows(texts, words, recipe.window))
    settings = TrainSettings(
        recipe.rate, recipe.steps, batch_size=recipe.batch, seed=recipe.seed, schedule="cosine"
    )
    with tempfile.TemporaryDirectory() as scratch:
        train(model, rows, collate_windows, settings, Path(scratch), keep=False)
    model.save_pretrained(out)
    words.save_pretrained(out)
