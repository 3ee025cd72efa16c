"""Search by meaning and by words, fused: what a reader typed need not be what a paper says.

By meaning: the cosine of the query's vector with each paper's, all of them, by one product of a
matrix and a vector (see ``site/meaning.py`` for the vectors). By words: SQLite's FTS5 and its BM25
over the fields of ``Paper.searched``. The two lists are fused by reciprocal rank,

    score(p) = sum over lists of  1 / (60 + rank of p in the list),

of Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
learning methods" (SIGIR 2009), whose constant is 60.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from parsimony.papers.site.search import FIELDS, words

_WEIGHTS = (8.0, 4.0, 3.0, 1.0)  # of the fields, as in the browser's search
_FUSION = 60
_DEPTH = 50  # of each list
_WORDS = 16  # of a query that are looked at
_STEM = 4  # letters from which a word also stands for those that begin with it
NEAR = 0.2
"""Cosine of MiniLM below which a paper is not shown; on 36 papers, cooking reaches 0.16."""

Vector = npt.NDArray[np.float32]


class Search:
    """An index of one catalogue.

    Args:
        texts: one row of ``FIELDS`` per paper.
        vectors: one row per paper, of length one, [papers, width]; without rows, words alone count.
        embed: the vector of a query.
    """

    def __init__(
        self,
        texts: Iterable[Sequence[str]],
        vectors: npt.NDArray[np.floating],
        embed: Callable[[str], Vector],
    ) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._embed = embed
        self._lock = threading.Lock()
        self._words = sqlite3.connect(":memory:", check_same_thread=False)
        columns = ", ".join(FIELDS)
        self._words.execute(
            f"CREATE VIRTUAL TABLE papers USING fts5({columns}, tokenize='unicode61')"
        )
        marks = ", ".join("?" for _ in FIELDS)
        self._words.executemany(
            f"INSERT INTO papers (rowid, {columns}) VALUES (?, {marks})",  # noqa: S608 (our names)
            ((place, *row) for place, row in enumerate(texts)),
        )
        self._words.commit()

    def by_words(self, query: str) -> list[int]:
        """Places of papers with any word of the query, or one that begins like it, best first."""
        asked = " OR ".join(
            f'"{word}"*' if len(word) >= _STEM else f'"{word}"'
            for word in list(words(query))[:_WORDS]
        )
        if not asked:
            return []
        with self._lock:
            found = self._words.execute(
                "SELECT rowid FROM papers WHERE papers MATCH ? "
                "ORDER BY bm25(papers, ?, ?, ?, ?), rowid LIMIT ?",
                (asked, *_WEIGHTS, _DEPTH),
            )
            return [row[0] for row in found]

    def by_meaning(self, query: str) -> list[int]:
        """Places of papers that are about what the query is about, nearest first."""
        if not len(self._vectors) or not query.strip():
            return []
        return self.nearest(self._embed(query))

    def nearest(self, vector: Vector) -> list[int]:
        """Places of the vectors nearest to ``vector``, of those that are near at all."""
        cosines = self._vectors @ vector
        depth = min(_DEPTH, len(cosines))
        best = np.argpartition(-cosines, depth - 1)[:depth]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return best[cosines[best] >= NEAR].tolist()

    def find(self, query: str, count: int = 20) -> list[int]:
        """Places of papers by both, best first."""
        scores: dict[int, float] = {}
        for ranked in (self.by_words(query), self.by_meaning(query)):
            for rank, place in enumerate(ranked, start=1):
                scores[place] = scores.get(place, 0.0) + 1 / (_FUSION + rank)
        return sorted(scores, key=lambda place: (-scores[place], place))[:count]
