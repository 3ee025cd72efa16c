"""The built-in language model: made once, kept whole, found by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from parsimony.core import artifacts, pretrained, stdlib_lm
from parsimony.core.errors import InputError
from parsimony.core.inputs.joined import WindowRows, collate_windows, windows

TINY = stdlib_lm.Recipe(width=16, layers=1, heads=2, feedforward=16, window=32, batch=4, steps=3)


def test_it_is_trained_once_and_then_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path))
    made = stdlib_lm.folder(TINY)
    assert "training it once, 3 steps" in capsys.readouterr().err
    artifacts.verify(made)
    before = artifacts.hash_folder(made)
    assert stdlib_lm.folder(TINY) == made and artifacts.hash_folder(made) == before
    assert not capsys.readouterr().err
    model = AutoModelForCausalLM.from_pretrained(made)
    words = AutoTokenizer.from_pretrained(made)
    assert (
        words.decode(words("def f():\n    return 'é'")["input_ids"]) == "def f():\n    return 'é'"
    )
    assert model.config.vocab_size == len(words) == 257
    monkeypatch.setattr(stdlib_lm, "folder", lambda: made)
    assert pretrained.find("stdlib-lm").path == made
    assert pretrained.load_saved(pretrained.find("stdlib-lm")).num_parameters() == (
        model.num_parameters()
    )


def test_a_killed_training_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARSIMONY_CACHE", str(tmp_path))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stdlib_lm, "_make", dies)
        stdlib_lm.folder(TINY)
    assert not list(tmp_path.rglob("manifest.json"))
    assert artifacts.is_sealed(stdlib_lm.folder(TINY))


def test_windows_are_the_joined_texts_and_a_draw_has_no_window_twice() -> None:
    words = stdlib_lm.tokenizer()
    cut = windows(["abcdef", "ghi"], words, 3)
    end = words.eos_token_id
    letters = words("abcdefghi")["input_ids"]
    assert cut.flatten().tolist() == [*letters[:6], end, *letters[6:8]]  # what is left over goes
    texts = [f"text {i:03d} " * 3 for i in range(40)]
    drawn = windows(texts, words, 8, 20, seed=3)
    every = {tuple(w) for w in windows(texts, words, 8).tolist()}
    assert drawn.shape == (20, 8) and {tuple(w) for w in drawn.tolist()} <= every
    assert torch.equal(drawn, windows(texts, words, 8, 20, seed=3))
    assert not torch.equal(drawn, windows(texts, words, 8, 20, seed=4))
    batch = collate_windows([WindowRows(cut)[0], WindowRows(cut)[2]])
    assert torch.equal(batch["labels"], cut[[0, 2]]) and len(WindowRows(cut)) == 3


def test_too_little_text_is_told_with_both_numbers() -> None:
    words = stdlib_lm.tokenizer()
    with pytest.raises(InputError) as caught:
        windows(["abcdefghij"], words, 4, 8)
    assert str(caught.value) == (
        "the texts must fill 8 windows of 4 tokens, and fill 2, but got '11 tokens'. Give more "
        "text, fewer --samples (at most 2) or a shorter --window"
    )
    with pytest.raises(InputError, match="or a --window of at most 11"):
        windows(["abcdefghij"], words, 40)
