"""Levels add up; what does not is named; reconciled forecasts do, whatever the method."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import DataError, InputError
from parsimony.estimate.demand import graph, hierarchy, reconcile
from parsimony.estimate.demand.generate import generate
from parsimony.estimate.demand.table import DemandTable

TABLE = generate(6, 3, 14).table


def nodes() -> DemandTable:
    """All levels in one table: the total, then the bottom."""
    values = np.vstack([TABLE.values.sum(0), TABLE.values])
    keys = pd.DataFrame({"skill_id": ["all", *TABLE.ids]})
    return DemandTable(keys, TABLE.months, values, source="t")


PARENTS = pd.DataFrame({"child": TABLE.ids, "parent": "all"})


def test_levels_are_sums_of_the_bottom() -> None:
    found = hierarchy.by_keys(TABLE, ["total", "region_id", "skill_id", "region_id+skill_id"])
    assert [*dict.fromkeys(found.levels)] == ["total", "region_id", "skill_id", "bottom"]
    assert len(found.nodes) == 1 + 3 + 6 + 18
    values = found.aggregate(TABLE.values)
    assert (values[0] == TABLE.values.sum(0)).all()
    assert (values[1:4] == TABLE.values.reshape(6, 3, -1).sum(0)).all()
    assert (values[4:10] == TABLE.values.reshape(6, 3, -1).sum(1)).all()
    assert found.incoherence(values) == 0
    assert len(hierarchy.by_keys(TABLE, ["skill_id"]).components()) == 6


def test_parents_give_the_same_sums_also_over_two_steps() -> None:
    found, bottom = hierarchy.by_parents(nodes(), PARENTS)
    assert found.levels.tolist() == ["height 1", *["bottom"] * 18]
    assert (bottom.values == TABLE.values).all()
    skills = hierarchy.by_keys(TABLE, ["total", "skill_id"])
    deep = DemandTable(
        pd.DataFrame({"skill_id": skills.nodes}), TABLE.months, skills.aggregate(TABLE.values)
    )
    pairs = [(f"skill_id={s}", "total") for s in dict.fromkeys(TABLE.skills)]
    pairs += [(i, f"skill_id={s}") for i, s in zip(TABLE.ids, TABLE.skills, strict=True)]
    two, _ = hierarchy.by_parents(deep, pd.DataFrame(pairs, columns=["child", "parent"]))
    assert [*dict.fromkeys(two.levels)] == ["height 2", "height 1", "bottom"]
    assert (two.summing != skills.summing).nnz == 0


def test_the_first_mismatch_is_named() -> None:
    wrong = nodes()
    wrong.values[0, 3] += 7
    with pytest.raises(DataError) as caught:
        hierarchy.by_parents(wrong, PARENTS)
    assert str(caught.value) == (
        "t: level 'height 1' must be the sum of its parts, but all in 2021-04 differs by +7. "
        "Values that differ: 1; correct the finer or the coarser level"
    )


def test_two_files_are_checked_against_each_other() -> None:
    values = TABLE.values.reshape(6, 3, -1).sum(1)
    keys = pd.DataFrame({"r0_id": "0", "skill_id": list(dict.fromkeys(TABLE.skills))})
    coarse = DemandTable(keys, TABLE.months, values, source="r0.csv")
    hierarchy.check_levels(TABLE, coarse, "r0")
    values[2, 1] -= 0.5
    with pytest.raises(DataError, match=r"r0\.csv: level 'r0' must be the sum of its parts, but "
                       r"skill_id=s0002 in 2021-02 differs by -0\.5"):  # fmt: skip
        hierarchy.check_levels(TABLE, coarse, "r0")
    with pytest.raises(InputError, match="must have the months of the finer table"):
        hierarchy.check_levels(TABLE, coarse.with_values(TABLE.months[:-1], values[:, :-1]), "r0")
    fewer = DemandTable(keys.head(5), TABLE.months, values[:5])
    with pytest.raises(InputError, match="lacks a series of the finer table, but got 's0005'"):
        hierarchy.check_levels(TABLE, fewer, "r0")
    with pytest.raises(InputError, match="level 'r0' must be coarser than the table"):
        hierarchy.check_levels(TABLE, TABLE, "r0")
    other = DemandTable(keys.assign(r2_id=list("abcdef")), TABLE.months, values)
    with pytest.raises(InputError, match="has a key that the finer table lacks, but got 'r2_id'"):
        hierarchy.check_levels(TABLE, other, "r0")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("0/s0000", "none")], "a child or parent must be a series of the table, but got 'none'"),
        ([("0/s0000", "all"), ("all", "0/s0000")], "a series cannot be its own ancestor"),
        ([("all", "all")], "a series cannot be its own ancestor, but got 'all'"),
    ],
)
def test_bad_parents_are_refused(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hierarchy.by_parents(nodes(), pd.DataFrame(pairs, columns=["child", "parent"]))


def test_other_columns_and_keys_are_refused() -> None:
    with pytest.raises(InputError, match="has the columns child and parent, but got \\['a'\\]"):
        hierarchy.by_parents(nodes(), pd.DataFrame({"a": [1]}))
    with pytest.raises(InputError, match=r"but got 'region'\. Did you mean 'region_id'"):
        hierarchy.by_keys(TABLE, ["region"])


@pytest.mark.parametrize("method", reconcile.METHODS)
def test_reconciled_forecasts_add_up(method: str) -> None:
    levels = hierarchy.by_keys(TABLE, ["skill_id"])
    actual = levels.aggregate(TABLE.values)[:, :8]
    random = np.random.default_rng(0)
    fitted = actual + random.normal(0, 3, actual.shape)
    forecasts = levels.aggregate(TABLE.values)[:, 8:11] + random.normal(0, 3, (24, 3))
    found = reconcile.reconcile(levels, forecasts, method, actual, fitted)
    assert levels.incoherence(found) < 1e-8
    if method == "bottom-up":
        assert found[6:] == pytest.approx(forecasts[6:])
    if method == "ols":  # S (S'S)^-1 S'
        S = levels.summing.toarray()
        assert found == pytest.approx(S @ np.linalg.solve(S.T @ S, S.T @ forecasts))
    if method == "top-down":
        assert found[:6] == pytest.approx(forecasts[:6])


def test_what_adds_up_already_is_left_and_zero_stays_zero() -> None:
    levels = hierarchy.by_keys(TABLE, ["total", "skill_id"])
    values = levels.aggregate(TABLE.values)
    found = reconcile.reconcile(levels, values, "ols", values, values)
    assert found == pytest.approx(values)
    assert (found[values == 0] == 0).all()


def test_large_connected_levels_take_sparse_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = hierarchy.by_keys(TABLE, ["total", "skill_id"])
    forecasts = levels.aggregate(TABLE.values)[:, :3] + np.arange(25)[:, None]
    dense = reconcile.reconcile(levels, forecasts, "ols", forecasts, forecasts)
    monkeypatch.setattr(reconcile, "DENSE", 10)
    assert reconcile.reconcile(levels, forecasts, "ols", forecasts, forecasts) == pytest.approx(
        dense, rel=1e-6
    )
    with pytest.raises(InputError, match="mint takes at most 10 nodes that hang together, but got"):
        reconcile.reconcile(levels, forecasts, "mint", forecasts, forecasts)


def test_top_down_needs_one_top() -> None:
    levels = hierarchy.by_keys(TABLE, ["region_id", "skill_id"])
    values = levels.aggregate(TABLE.values)
    with pytest.raises(InputError, match=r"top-down needs one top above each series.*Use ols"):
        reconcile.reconcile(levels, values, "top-down", values, values)
    with pytest.raises(InputError, match=r"unknown reconciliation 'mimt'\. Did you mean 'mint'"):
        reconcile.check_method("mimt")


def pairs(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["group", "first", "second"])


def test_a_graph_is_mended_and_says_so() -> None:
    found = graph.from_pairs(
        pairs(("0", "s0000", "s0001"), ("0", "s0001", "s0000"), ("0", "s0002", "s0000"),
              ("1", "s0003", "s0003")), TABLE,
    )  # fmt: skip
    assert found.told() == (
        "The graph has 2 pairs; pairs of a skill with itself, dropped: 1; pairs given one way, "
        "taken both ways: 1"
    )
    dense = found.mean.toarray()
    assert dense[0, [3, 6]].tolist() == [0.5, 0.5] and dense[3, 0] == dense[6, 0] == 1
    assert dense.sum() == 3
    given = pairs(("0", "s0000", "s0001"), ("0", "s0002", "s0000"))
    published = given.set_axis(["region_id", "row_id", "col_id"], axis=1)
    assert (graph.from_pairs(published, TABLE).mean != found.mean).nnz == 0
    assert found.below(2).mean.toarray()[2:, 2:].tolist() == dense.tolist()
    one_way = graph.from_pairs(pairs(("0", "s0000", "s0001"), ("0", "s0001", "s0002")), TABLE)
    assert (one_way.pairs, one_way.one_way) == (2, 0)  # a file of undirected pairs


def test_a_graph_of_other_series_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        graph.from_pairs(pairs(("0", "s0000", "s0001"), ("9", "s0000", "s0001")), TABLE)
    assert str(caught.value) == (
        "graph, row 2, column 'first': a pair must be of series of the table, but got '9/s0000'"
    )
    with pytest.raises(InputError, match="a graph has the columns group, first and second"):
        graph.from_pairs(pd.DataFrame({"a": [1]}), TABLE)
