"""The graph of skills that are asked for together: read, checked, repaired.

A table with the columns ``group, first, second``: two skills of a group that share adverts.
Job-SDF's files call them ``..._id, row_id, col_id``, which is read too. It must be made of training
months alone, which a file cannot show: whoever makes it keeps to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from parsimony.core.data.files import read_table
from parsimony.core.errors import DataError, InputError
from parsimony.estimate.demand.table import DemandTable

COLUMNS = ("group", "first", "second")


@dataclass(frozen=True, eq=False)
class Graph:
    """Which series are neighbours.

    Attributes:
        mean: of the neighbours of each series, sparse, shape (series, series); an empty row for a
            series without any.
        pairs: count of undirected pairs.
        loops: pairs of a skill with itself that were dropped.
        one_way: pairs given in one direction, in a file that gives others in both; mended.
    """

    mean: sparse.csr_matrix
    pairs: int
    loops: int = 0
    one_way: int = 0

    def below(self, upper: int) -> Graph:
        """The same graph with ``upper`` series without neighbours before the others."""
        padded = sparse.block_diag([sparse.csr_matrix((upper, upper)), self.mean], format="csr")
        return Graph(padded, self.pairs, self.loops, self.one_way)

    def told(self) -> str:
        """What was read and mended, in a sentence."""
        mended = []
        if self.loops:
            mended.append(f"pairs of a skill with itself, dropped: {self.loops}")
        if self.one_way:
            mended.append(f"pairs given one way, taken both ways: {self.one_way}")
        return "; ".join([f"The graph has {self.pairs} pairs", *mended])


def read_graph(file: Path, table: DemandTable) -> Graph:
    """A table of pairs; see ``from_pairs``."""
    return from_pairs(read_table(file).reset_index(drop=True).fillna(""), table, str(file))


def from_pairs(pairs: pd.DataFrame, table: DemandTable, source: str = "graph") -> Graph:
    """Check pairs against the table.

    Args:
        pairs: columns ``group`` ('' where the table has no groups), ``first``, ``second``.
        table: that the pairs are of.
        source: for messages.

    Raises:
        InputError: other columns.
        DataError: an id that the table lacks.
    """
    if list(pairs.columns)[1:] == ["row_id", "col_id"]:
        pairs = pairs.set_axis(list(COLUMNS), axis=1)
    if list(pairs.columns) != list(COLUMNS):
        raise InputError("a graph has the columns group, first and second",
                         got=[str(c) for c in pairs.columns])  # fmt: skip
    places = pd.Series(np.arange(len(table.ids)), index=table.ids)
    group = pairs["group"].astype(str)
    prefix = group.where(group == "", group + "/")
    ends = []
    for name in COLUMNS[1:]:
        ids = prefix + pairs[name].astype(str)
        place = places.reindex(ids).to_numpy(float)
        if np.isnan(place).any():
            row = int(np.isnan(place).argmax())
            raise DataError("a pair must be of series of the table", file=source, row=row + 1,
                            column=name, got=str(ids.iloc[row]))  # fmt: skip
        ends.append(place.astype(int))
    first, second = ends
    kept = first != second
    count = len(table.ids)
    given = sparse.csr_matrix(
        (np.ones(int(kept.sum())), (first[kept], second[kept])), (count, count)
    )
    given.data[:] = 1
    both = int(given.multiply(given.T).nnz)
    either = ((given + given.T) > 0).astype(float).tocsr()
    degree = np.asarray(either.sum(axis=1)).ravel()
    mean = sparse.diags(np.divide(1.0, degree, out=np.zeros(count), where=degree > 0)) @ either
    return Graph(
        mean.tocsr(), either.nnz // 2, int((~kept).sum()), int(given.nnz) - both if both else 0
    )
