"""Votes count once, and old ones weigh less."""

from __future__ import annotations

import pytest
from live_parts import NOW

from parsimony.papers.live import votes
from parsimony.papers.live.database import Database

DAY = 86_400


def test_a_vote_counts_once_for_each_reader_and_paper(database: Database) -> None:
    cast = [votes.cast(database, slug, reader, NOW) for slug, reader in
            [("a", "x"), ("a", "x"), ("a", "y"), ("b", "x")]]  # fmt: skip
    assert cast == [True, False, True, True]
    assert votes.counts(database) == {"a": 2, "b": 1}


def test_the_score_is_the_formula(database: Database) -> None:
    for reader, age in enumerate((0, 0, 7, 21)):
        votes.cast(database, "a", str(reader), NOW - age * DAY)
    assert votes.trending(database, NOW)["a"] == pytest.approx(2 + 1 / 2 + 1 / 8)


def test_recent_votes_outweigh_many_old_ones(database: Database) -> None:
    for reader in range(10):
        votes.cast(database, "old", str(reader), NOW - 28 * DAY)
    votes.cast(database, "new", "x", NOW)
    assert list(votes.trending(database, NOW)) == ["new", "old"]


def test_without_further_votes_the_order_stays(database: Database) -> None:
    for slug, ages in {"a": (0, 3), "b": (1,), "c": (9, 9, 9)}.items():
        for age in ages:
            votes.cast(database, slug, f"{age}{len(votes.counts(database))}", NOW - age * DAY)
    orders = {tuple(votes.trending(database, NOW + days * DAY)) for days in (0, 1, 10, 100)}
    assert len(orders) == 1


def test_forgotten_votes_weigh_nothing(database: Database) -> None:
    votes.cast(database, "a", "x", NOW - 140 * DAY)
    assert votes.trending(database, NOW) == {} and votes.counts(database) == {"a": 1}
