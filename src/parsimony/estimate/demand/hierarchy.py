"""Levels that add up: the summing matrix, and the check that a table keeps to it.

Nodes are ordered from coarse to fine, with the bottom series last and in the table's order. With S
of shape (nodes, bottom), ``values = S @ bottom`` in every month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from parsimony.core.data.files import read_table
from parsimony.core.errors import DataError, InputError, nearest
from parsimony.estimate.demand.table import DemandTable

TOTAL, BOTTOM = "total", "bottom"
_ROUNDING = 1e-9  # of the sum, which a table of decimals may differ by


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Which series are the sum of which.

    Attributes:
        nodes: names, coarse first; the bottom last.
        levels: level of each node, shape (nodes,).
        summing: S, sparse, shape (nodes, bottom).
    """

    nodes: np.ndarray
    levels: np.ndarray
    summing: sparse.csr_matrix

    @property
    def bottom(self) -> int:
        """Count of bottom series."""
        return int(self.summing.shape[1])

    def aggregate(self, bottom: np.ndarray) -> np.ndarray:
        """Values of all nodes from those of the bottom, shape (bottom, ...)."""
        flat = bottom.reshape(len(bottom), -1)
        return np.asarray(self.summing @ flat).reshape(len(self.nodes), *bottom.shape[1:])

    def incoherence(self, values: np.ndarray) -> float:
        """Largest |node - sum of its bottom series|, over all nodes and the other axes."""
        return float(np.abs(values - self.aggregate(values[-self.bottom :])).max())

    def components(self) -> list[np.ndarray]:
        """Nodes that hang together, each an array of positions; what differs is independent."""
        graph = self.summing @ self.summing.T
        _, labels = sparse.csgraph.connected_components(graph, directed=False)
        order = np.argsort(labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)

    def check(self, values: np.ndarray, months: Sequence[str], source: str) -> None:
        """Refuse values that do not add up.

        Args:
            values: shape (nodes, months).
            months, source: for the message.

        Raises:
            DataError: names level, node, month and difference of the first mismatch.
        """
        expected = self.aggregate(values[-self.bottom :])
        wrong = np.abs(values - expected) > _ROUNDING * np.maximum(1, np.abs(expected))
        if wrong.any():
            node, month = (int(p) for p in np.unravel_index(wrong.argmax(), wrong.shape))
            gap = values[node, month] - expected[node, month]
            raise DataError(
                f"level '{self.levels[node]}' must be the sum of its parts, but "
                f"{self.nodes[node]} in {months[month]} differs by {gap:+g}",
                file=source, hint=f"Values that differ: {int(wrong.sum())}; correct the finer or "
                "the coarser level",
            )  # fmt: skip


def by_keys(table: DemandTable, levels: Sequence[str]) -> Hierarchy:
    """Levels made by summing the table.

    Args:
        table: the bottom.
        levels: from coarse to fine; ``total``, a key column, or several joined by '+'.

    Raises:
        InputError: an unknown key.
    """
    nodes, names, rows = [], [], []
    known = [TOTAL, *table.keys.columns]
    for level in levels:
        columns = [] if level == TOTAL else level.split("+")
        for column in columns:
            if column not in table.keys:
                raise InputError("a level is 'total' or key columns joined by '+'", got=column,
                                 hint=nearest(column, known))  # fmt: skip
        labels = table.keys[columns].agg("/".join, axis=1) if columns else pd.Series(
            [TOTAL] * len(table.values)
        )  # fmt: skip
        codes, unique = pd.factorize(labels)
        if len(unique) == len(table.values):
            continue  # that is the bottom itself
        rows.append(_membership(codes, len(unique)))
        nodes += [f"{level}={name}" if columns else TOTAL for name in unique]
        names += [level] * len(unique)
    count = len(table.values)
    summing = sparse.vstack([*rows, sparse.identity(count)], format="csr")
    return Hierarchy(
        np.array([*nodes, *table.ids], dtype=object),
        np.array([*names, *[BOTTOM] * count], dtype=object), summing,
    )  # fmt: skip


def by_parents(table: DemandTable, parents: pd.DataFrame) -> tuple[Hierarchy, DemandTable]:
    """Levels that the table itself holds.

    Args:
        table: all nodes.
        parents: columns ``child`` and ``parent``, ids of the table (keys joined by '/').

    Returns:
        the hierarchy, checked, and the table of its bottom series.

    Raises:
        InputError: an unknown id, a cycle.
        DataError: values that do not add up.
    """
    if list(parents.columns) != ["child", "parent"]:
        raise InputError("the table of parents has the columns child and parent",
                         got=[str(c) for c in parents.columns])  # fmt: skip
    places = {name: place for place, name in enumerate(table.ids)}
    unknown = [n for n in (*parents["child"], *parents["parent"]) if n not in places]
    if unknown:
        raise InputError("a child or parent must be a series of the table", got=unknown[0],
                         hint="Ids are the keys joined by '/'")  # fmt: skip
    child, parent = (parents[c].map(places).to_numpy() for c in ("child", "parent"))
    count = len(table.values)
    edges = sparse.csr_matrix((np.ones(len(child)), (parent, child)), (count, count))
    leaf = np.asarray(edges.sum(axis=1)).ravel() == 0
    depth = np.zeros(count, int)  # steps down to the leaves
    reach, power = sparse.identity(count, format="csr"), edges
    while power.nnz:
        if depth.max() >= count - 1 or (power.diagonal() > 0).any():
            cycle = table.ids[int((power.diagonal() > 0).argmax())]
            raise InputError("a series cannot be its own ancestor", got=str(cycle))
        depth[np.unique(power.nonzero()[0])] += 1
        reach, power = reach + power, power @ edges
    upper = np.flatnonzero(~leaf)[np.argsort(-depth[~leaf], kind="stable")]
    order = np.concatenate([upper, np.flatnonzero(leaf)])
    summing = (reach[order][:, leaf] > 0).astype(float).tocsr()
    levels = np.where(leaf, BOTTOM, np.array([f"height {d}" for d in depth], dtype=object))
    found = Hierarchy(table.ids[order], levels[order].astype(object), summing)
    found.check(table.values[order], table.months, table.source)
    keys = table.keys[leaf].reset_index(drop=True)
    bottom = DemandTable(keys, table.months, table.values[leaf], table.kind, table.source)
    return found, bottom


def check_levels(fine: DemandTable, coarse: DemandTable, level: str) -> None:
    """Whether a finer table sums to a coarser one, as two files of one data set must.

    Args:
        fine: with all the keys that ``coarse`` has; one that only ``coarse`` has must be constant.
        coarse: what it should sum to.
        level: its name, for the message.

    Raises:
        InputError: keys or months do not fit.
        DataError: names level, series, month and difference of the first mismatch.
    """
    shared = [k for k in coarse.keys if k in fine.keys]
    foreign = [k for k in coarse.keys if k not in fine.keys and coarse.keys[k].nunique() > 1]
    if foreign or not shared:
        raise InputError(f"level '{level}' has a key that the finer table lacks",
                         got=(foreign or list(coarse.keys))[0])  # fmt: skip
    if coarse.months != fine.months:
        other = sorted(set(coarse.months) ^ set(fine.months))
        raise InputError(f"level '{level}' must have the months of the finer table",
                         got=other[0])  # fmt: skip
    hierarchy = by_keys(fine, ["+".join(shared)])
    there = coarse.keys[shared].agg("/".join, axis=1)
    summed = len(hierarchy.nodes) - hierarchy.bottom
    if summed == 0:
        raise InputError(f"level '{level}' must be coarser than the table", got=shared)
    wanted = [str(node).split("=", 1)[1] for node in hierarchy.nodes[:summed]]
    places = pd.Series(np.arange(len(there)), index=there).reindex(wanted)
    if places.isna().any():
        raise InputError(f"level '{level}' lacks a series of the finer table",
                         got=str(places.index[places.isna()][0]))  # fmt: skip
    values = np.vstack([coarse.values[places.astype(int).to_numpy()], fine.values])
    named = Hierarchy(
        hierarchy.nodes, np.where(hierarchy.levels == BOTTOM, BOTTOM, level), hierarchy.summing
    )
    named.check(values, fine.months, coarse.source)


def read_parents(file: Path) -> pd.DataFrame:
    """The table of ``--parents``: child, parent."""
    return read_table(file).reset_index(drop=True)


def _membership(codes: np.ndarray, count: int) -> sparse.csr_matrix:
    places = np.arange(len(codes))
    return sparse.csr_matrix((np.ones(len(codes)), (codes, places)), (count, len(codes)))
