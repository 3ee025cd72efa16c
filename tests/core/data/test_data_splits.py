"""Cutting and sampling: disjoint, complete, stratified, decided by content and seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.data.splits import cut, sample
from parsimony.core.errors import DataError, InputError

CLASS_SIZES = st.lists(st.integers(3, 40), min_size=2, max_size=6)


def table(sizes: list[int]) -> pd.DataFrame:
    labels = [f"class {i}" for i, size in enumerate(sizes) for _ in range(size)]
    order = np.random.RandomState(0).permutation(len(labels))
    texts = [f"row {i}" for i in range(len(labels))]
    return pd.DataFrame({"text": texts, "label": [labels[i] for i in order]})


def halves(frame: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    return cut(frame, ["validation", "test"], seed=seed, file="a.csv", by_class=True)


@given(CLASS_SIZES, st.integers(0, 5))
def test_splits_are_disjoint_complete_and_stratified(sizes: list[int], seed: int) -> None:
    frame = table(sizes)
    parts = halves(frame, seed)
    rows = [row for part in parts.values() for row in part.index]
    assert sorted(rows) == list(frame.index)
    for name, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        counts = parts[name]["label"].value_counts()
        for i, size in enumerate(sizes):
            assert counts[f"class {i}"] >= 1
            assert abs(counts[f"class {i}"] - share * size) <= 1


@given(CLASS_SIZES)
def test_the_seed_decides(sizes: list[int]) -> None:
    frame = table(sizes)
    first, again = halves(frame), halves(frame)
    assert all(first[name].equals(again[name]) for name in first)


def test_another_seed_gives_another_split() -> None:
    frame = table([50, 50])
    assert not halves(frame, 0)["test"].equals(halves(frame, 1)["test"])


@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), st.integers(0, 3))
def test_groups_stay_together(sizes: list[int], seed: int) -> None:
    groups = [f"file {i}" for i, size in enumerate(sizes) for _ in range(size)]
    frame = pd.DataFrame({"group": groups})
    parts = cut(frame, ["validation", "test"], seed=seed, file="x", by_class=False, group="group")
    seen = [set(part["group"]) for part in parts.values()]
    assert all(seen)
    assert sum(len(names) for names in seen) == len(sizes)
    assert sum(len(part) for part in parts.values()) == len(frame)


def test_a_class_too_small_for_three_splits() -> None:
    with pytest.raises(DataError) as caught:
        halves(table([10, 2, 1]))
    assert str(caught.value) == (
        "a.csv: every class needs at least 3 different rows, one for each split, but class "
        "'class 1' has 2 (2 classes are that small). "
        "Add rows of that class, merge it into another, or remove it"
    )


def test_too_few_rows_without_classes() -> None:
    with pytest.raises(DataError) as caught:
        cut(table([2]), ["validation", "test"], seed=0, file="a.csv", by_class=False)
    assert str(caught.value) == (
        "a.csv: splitting needs at least 3 different rows, but got 2. "
        "Add rows, or give a folder with train, validation and test files"
    )


@given(CLASS_SIZES, st.integers(0, 60), st.integers(1, 3))
def test_a_sample_has_the_size_asked_for_in_proportion(
    sizes: list[int], extra: int, least: int
) -> None:
    frame = table(sizes)
    limit = min(least * len(sizes) + extra, len(frame))
    kept = sample(frame, limit, seed=0, by_class=True, least=least, what="the data")
    assert len(kept) == limit
    assert kept.index.is_unique
    counts = [int((kept["label"] == f"class {i}").sum()) for i in range(len(sizes))]
    assert min(counts) >= least
    shares = [limit * size / sum(sizes) for size in sizes]
    if min(shares) >= least:  # nothing had to be lifted
        assert all(abs(n - share) < 1 for n, share in zip(counts, shares, strict=True))


def test_a_limit_without_room_for_every_class() -> None:
    with pytest.raises(InputError) as caught:
        sample(table([9, 9]), 5, seed=0, by_class=True, least=3, what="the data")
    assert str(caught.value) == (
        "a limit needs room for 6 rows of the data, so that every class is in every split, "
        "but got 5. Raise --limit"
    )
