"""Trainable parameters in closed form, on tiny models whose shapes are written out here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from parsimony.adapt.method import Facts, methods
from parsimony.core import cost, pretrained
from parsimony.core.errors import InputError
from parsimony.testing import tiny

WIDE, INNER, LAYERS, LABELS = 32, 64, 2, 3
HEAD = WIDE * LABELS + LABELS
QUERY_VALUE = [(WIDE, WIDE)] * 2 * LAYERS  # BERT's default targets, as (inputs, outputs)


def facts(architecture: str, task: str, folder: Path) -> Facts:
    tiny.write(folder, architecture)
    labels = ("a", "b", "c") if task == "text-classification" else ()
    config = pretrained.config(pretrained.find(str(folder)), task, labels)
    return Facts.of(config, task)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts("bert", "text-classification", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts("gpt2", "causal-lm", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts("llama", "causal-lm", tmp_path_factory.mktemp("llama"))


def trainable(name: str, of: Facts, size: int) -> int:
    build = methods()[name].apply
    return cost.count(cost.on_meta(lambda: build(pretrained.build(of.config, of.task), of, size)))[
        1
    ]


def each(targets: list[tuple[int, int]], formula: Callable[[int, int], int]) -> int:
    return sum(formula(i, o) for i, o in targets)


# Method -> parameters besides the head at a size, on BERT with its default targets.
ON_BERT: dict[str, Callable[[int], int]] = {
    "lora": lambda r: each(QUERY_VALUE, lambda i, o: r * (i + o)),
    "rslora": lambda r: each(QUERY_VALUE, lambda i, o: r * (i + o)),
    "dora": lambda r: each(QUERY_VALUE, lambda i, o: r * (i + o) + o),
    "loha": lambda r: each(QUERY_VALUE, lambda i, o: 2 * r * (i + o)),
    # 32 = 4 x 8: C is 4 x 4; B A is 8 x 8 of rank r, stored whole from half its side on.
    "lokr": lambda r: each(QUERY_VALUE, lambda i, o: 4 * 4 + (r * (8 + 8) if r < 4 else 8 * 8)),
    "vera": lambda r: each(QUERY_VALUE, lambda i, o: o + r),
    # A rotation of b dimensions has b (b - 1) / 2 angles.
    "oft": lambda b: each(QUERY_VALUE, lambda i, o: i // b * b * (b - 1) // 2),
    # Keys and values on their output, both feed-forward ends (attention's and the MLP's) on input.
    "ia3": lambda _: LAYERS * (WIDE + WIDE + WIDE + INNER),
    "ln-tuning": lambda _: (1 + 2 * LAYERS) * 2 * WIDE,
    # Query, key, value, attention output, MLP in and out of every layer, and the pooler.
    "bias": lambda _: LAYERS * (4 * WIDE + INNER + WIDE) + WIDE,
    "linear-probe": lambda _: 0,
    "prompt": lambda tokens: tokens * WIDE,
    "prefix": lambda tokens: tokens * LAYERS * 2 * WIDE,
}


@pytest.mark.parametrize("name", sorted(ON_BERT))
def test_bert(name: str, bert: Facts) -> None:
    for size in methods()[name].sizes(bert):
        assert trainable(name, bert, size) == ON_BERT[name](size) + HEAD, f"size {size}"


def test_full_trains_everything(bert: Facts) -> None:
    model = cost.on_meta(lambda: pretrained.build(bert.config, bert.task))
    assert trainable("full", bert, 0) == sum(p.numel() for p in model.parameters())


def test_gpt2_counts_the_transposed_layers(gpt2: Facts) -> None:
    joint = [(WIDE, 3 * WIDE)] * LAYERS  # queries, keys and values in one Conv1D
    assert trainable("lora", gpt2, 4) == each(joint, lambda i, o: 4 * (i + o))
    assert trainable("dora", gpt2, 4) == each(joint, lambda i, o: 4 * (i + o) + o)
    assert trainable("vera", gpt2, 16) == each(joint, lambda i, o: 16 + o)
    assert trainable("ln-tuning", gpt2, 0) == (2 * LAYERS + 1) * 2 * WIDE


def test_llama_counts_the_grouped_values(llama: Facts) -> None:
    targets = [
        (WIDE, WIDE),
        (WIDE, WIDE // 2),
    ] * tiny.LLAMA_LAYERS  # two query heads share one value head
    assert trainable("lora", llama, 4) == each(targets, lambda i, o: 4 * (i + o))
    assert trainable("vera", llama, 16) == each(targets, lambda i, o: 16 + o)
    # Keys and values of half the width on output, the MLP's down projection on input.
    assert trainable("ia3", llama, 0) == tiny.LLAMA_LAYERS * (2 * WIDE // 2 + INNER)
    assert trainable("ln-tuning", llama, 0) == (2 * tiny.LLAMA_LAYERS + 1) * WIDE
    assert trainable("prefix", llama, 4) == 4 * tiny.LLAMA_LAYERS * 2 * WIDE // 2


def test_a_tiny_model_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown architecture, but got 'gpt'.*'gpt2'"):
        tiny.write(tmp_path, "gpt")


def test_tiny_models_depend_on_their_seed_alone(tmp_path: Path) -> None:
    found = [pretrained.find(str(tiny.write(tmp_path / n, seed=s))) for n, s in
             (("a", 0), ("b", 0), ("c", 1))]  # fmt: skip
    assert found[0].sha256 == found[1].sha256 != found[2].sha256


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_tiny_tokenizers_read_any_text(architecture: str, tmp_path: Path) -> None:
    tokenizer = pretrained.tokenizer(pretrained.find(str(tiny.write(tmp_path, architecture))))
    for text in ("plain", "Ünïcode 日本", "\x00\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert tokenizer.pad_token_id is not None
