"""How near written code comes to the code that was asked for: three scores per row, in [0, 1].

* exact match: 1 where the two texts are equal;
* edit similarity: 1 - d / n, with Levenshtein's distance d in characters and n the length of the
  longer text (normalised as by Svyatkovskiy et al. 2020, arXiv 2005.08025); 1 for two empty texts;
* CodeBLEU (Ren et al. 2020, arXiv 2009.10297): the mean of n-gram match, n-gram match weighted by
  keywords, syntax match and data-flow match, each as the package ``codebleu`` counts it for Python.

White space around a text does not count. A part of CodeBLEU in which the reference does not reach
1 against itself (fewer than four words for n-grams, no data flow) says nothing of the row and is
left out of its mean, so that equal code always gets 1; the package lets the first cost points, and
gives full marks for every data flow that matches nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from parsimony.core.errors import require

_PARTS = ("ngram_match_score", "weighted_ngram_match_score", "syntax_match_score",
          "dataflow_match_score")  # fmt: skip


def scores(references: Sequence[str], written: Sequence[str]) -> dict[str, np.ndarray]:
    """Every score by its name, each of shape (rows,), float64.

    Args:
        references: the code asked for.
        written: the model's, in the same order.

    Raises:
        MissingExtraError: ``codebleu`` is not installed.
    """
    rows = [(a.strip(), b.strip()) for a, b in zip(references, written, strict=True)]
    return {
        "exact match": np.array([float(a == b) for a, b in rows]),
        "edit similarity": np.array([edit_similarity(a, b) for a, b in rows]),
        "CodeBLEU": np.array([code_bleu(a, b) for a, b in rows]),
    }


def edit_similarity(reference: str, written: str) -> float:
    """1 - distance / length of the longer text."""
    longer = max(len(reference), len(written))
    return 1.0 - levenshtein(reference, written) / longer if longer else 1.0


def levenshtein(first: str, second: str) -> int:
    """The fewest insertions, deletions and replacements of characters between two texts."""
    codes = np.array([ord(c) for c in second], dtype=np.int64)
    places = np.arange(len(second) + 1)
    row = places
    for number, character in enumerate(first, 1):
        best = np.empty_like(row)
        best[0] = number
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        # Insertions run along the row: row[j] = min over i <= j of best[i] + (j - i).
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])


def code_bleu(reference: str, written: str) -> float:
    """The mean of the parts that the reference allows."""
    whole, found = _parts(reference, reference), _parts(reference, written)
    told = [found[part] for part in _PARTS if whole[part] == 1.0]
    return sum(told) / len(told) if told else float(reference == written)


def _parts(reference: str, written: str) -> dict[str, float]:
    package = require("codebleu", "code")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns of every reference without data flow
    try:
        found: dict[str, float] = package.calc_codebleu([reference], [written], lang="python")
    finally:
        logging.disable(before)
    return found
