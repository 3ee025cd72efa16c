"""Counting texts that a window would cut."""

from __future__ import annotations

from typing import Any

from parsimony.core.data import Truncation, truncation


def words(texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
    """A tokenizer of one id per word and two special ids."""
    assert options == {"add_special_tokens": True, "truncation": False}
    return {"input_ids": [[0, *range(len(text.split())), 1] for text in texts]}


def test_texts_longer_than_the_window_are_counted() -> None:
    texts = ["one two", "one two three", "one two three four"]
    assert truncation(texts, words, 5) == Truncation(1, 1 / 3)
    assert truncation(texts, words, 4) == Truncation(2, 2 / 3)
    assert truncation(texts, words, 6) == Truncation(0, 0.0)


def test_many_texts_are_counted_in_batches() -> None:
    assert truncation(["one two three", "one"] * 400, words, 3) == Truncation(400, 0.5)


def test_no_texts() -> None:
    assert truncation([], words, 3) == Truncation(0, 0.0)
