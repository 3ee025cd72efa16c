"""Search over layouts and exact importances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import InputError
from parsimony.plan.cluster import hardware, layouts, search
from parsimony.plan.cluster.model_shape import NAMED
from parsimony.plan.cluster.training import Training


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The 175B model on 512 devices of Frontier: few layouts work, and few of those are good."""
    cluster = hardware.load("frontier").of(512)
    return layouts.plan(NAMED["gpt-175b"], cluster, Training(2048))


def rate(row: pd.Series) -> float:
    return float(row["samples_per_second"])


def test_sixty_trials_find_the_best_and_beat_random(table: pd.DataFrame) -> None:
    best = table["samples_per_second"][table["reason"] == ""].max()
    found = [
        [search.search(table, rate, 60, seed, random).value / best for seed in range(6)]
        for random in (False, True)
    ]
    assert np.mean(found[0]) >= 0.98 and np.mean(found[0]) > np.mean(found[1])


def test_nothing_that_cannot_work_is_run_and_nothing_twice(table: pd.DataFrame) -> None:
    seen: list[str] = []

    def note(row: pd.Series) -> float:
        seen.append(str(row[list(layouts.KNOBS)].to_dict()))
        assert row["reason"] == ""
        return rate(row)

    found = search.search(table, note, 30)
    assert len(seen) == len(set(seen)) == len(found.trials) == 30
    assert found.trials["value"].max() == found.value == rate(found.best)
    assert (found.trials["problem"] == "").all()


def test_a_run_that_fails_is_recorded_and_the_search_goes_on(table: pd.DataFrame) -> None:
    def short_of_memory(row: pd.Series) -> float:
        if row["recompute"] == "none":
            raise MemoryError("out of memory")
        return rate(row)

    found = search.search(table, short_of_memory, 30)
    failed = found.trials["problem"] == "MemoryError: out of memory"
    assert failed.any() and (failed == found.trials["value"].isna()).all()
    assert found.best["recompute"] == "full"
    with pytest.raises(InputError, match="all 3 layouts failed; the last one: ZeroDivisionError"):
        search.search(table, lambda row: 1 / 0, 3)
    with pytest.raises(InputError, match="ParsimonyError: a figure must be finite, but got nan"):
        search.search(table, lambda row: float("nan"), 2)


def test_the_only_layout_that_works_is_found(table: pd.DataFrame) -> None:
    found = search.search(table.head(1), rate)
    assert len(found.trials) == 1 and found.value == table["samples_per_second"].iloc[0]


def test_a_search_needs_a_layout_that_works(table: pd.DataFrame) -> None:
    broken = table[table["reason"] != ""]
    with pytest.raises(InputError, match="a search needs a layout that works"):
        search.search(broken, rate)


def made_up(figure: object) -> pd.DataFrame:
    """All combinations of two values of three knobs, with a figure of them."""
    grid = [(t, p, z) for t in (1, 2) for p in (1, 2) for z in (0, 1)]
    rows = pd.DataFrame(grid, columns=["tensor", "pipeline", "zero"])
    fixed = {"data": 1, "micro_batch": 1, "recompute": "none", "chunks": 1, "reason": ""}
    return rows.assign(**fixed, samples_per_second=figure(rows))  # type: ignore[operator]


def test_importances_of_a_sum_are_the_variances_of_its_terms() -> None:
    table = made_up(lambda r: 3.0 * r["tensor"] + 4.0 * r["pipeline"])
    found = search.importances(table)
    assert list(found.index) == ["pipeline", "tensor", "zero"]
    assert found.tolist() == pytest.approx([16 / 25, 9 / 25, 0])


def test_importances_of_a_product_are_shared() -> None:
    table = made_up(lambda r: (r["tensor"] - 1.5) * (r["pipeline"] - 1.5))
    assert search.importances(table)[["tensor", "pipeline"]].tolist() == pytest.approx([0.5, 0.5])


def test_shapley_values_add_up(table: pd.DataFrame) -> None:
    works = table[table["reason"] == ""]
    assert search.importances(table).sum() == pytest.approx(1, abs=1e-12)
    for at in (0, len(works) // 2, len(works) - 1):
        row = works.iloc[at]
        gap = row["samples_per_second"] - works["samples_per_second"].mean()
        assert search.explain(table, row).sum() == pytest.approx(gap, abs=1e-9)


def test_layouts_that_are_all_the_same_have_no_importances() -> None:
    with pytest.raises(InputError, match="the layouts that work must differ in samples_per_second"):
        search.importances(made_up(lambda r: 1.0 + 0 * r["tensor"]))
