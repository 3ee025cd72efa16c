"""Sudoku of 4 x 4: all 288 grids, puzzles with one solution, and how many a model solves.

A puzzle is 16 cells row by row, 0 where empty; a row of data is a puzzle and its grid, 32 cells. As
tokens a cell is its digit in ASCII: 16 of them prompt, 16 are the answer.
"""

from __future__ import annotations

import functools
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parsimony.core.errors import DataError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import torch

CELLS = 16
FEWEST = 4
"""Givens that a puzzle with one solution has at least."""
ORIGIN = "DreamLM/Dream, eval data of planning"

Grids = npt.NDArray[np.uint8]


@functools.cache
def grids() -> Grids:
    """Every solved grid in lexicographic order; shape (288, 16), values 1 to 4."""
    rows = np.array(list(permutations(range(1, 5))), dtype=np.uint8)
    stacked = rows[np.indices((24,) * 4).reshape(4, -1).T]  # [candidates, 4 rows, 4 cells]
    columns = stacked.swapaxes(1, 2)
    boxes = stacked.reshape(-1, 2, 2, 2, 2).swapaxes(2, 3).reshape(-1, 4, 4)
    units = np.concatenate([columns, boxes], axis=1)
    whole = np.bitwise_or.reduce(1 << units, axis=2) == 0b11110
    found: Grids = stacked[whole.all(1)].reshape(-1, CELLS)
    return found


def solutions(puzzle: Grids) -> Grids:
    """The grids that agree with the givens of a puzzle; shape (solutions, 16)."""
    found: Grids = grids()[((grids() == puzzle) | (puzzle == 0)).all(1)]
    return found


def split(held_out: int, seed: int = 0) -> tuple[Grids, Grids]:
    """Grids to train on, and others.

    Args:
        held_out: how many others, 1 to 287.
        seed: of the choice.

    Raises:
        InputError: too few or too many.
    """
    if not 0 < held_out < len(grids()):
        raise InputError("1 to 287 of the 288 grids can be held out", got=held_out)
    order = np.random.default_rng(seed).permutation(len(grids()))
    return grids()[np.sort(order[held_out:])], grids()[np.sort(order[:held_out])]


def puzzles(of: Grids, givens: int, count: int, seed: int = 0) -> Grids:
    """Puzzles with one solution: cells of a random grid are emptied in random order where that
    leaves one solution.

    Args:
        of: solved grids to draw from, shape (grids, 16).
        givens: cells that stay, 4 to 16.
        count: puzzles.
        seed: of grids and cells.

    Returns:
        Shape (count, 32): puzzle, then grid.

    Raises:
        InputError: givens out of range.
    """
    if not FEWEST <= givens <= CELLS:
        raise InputError(f"a 4 x 4 puzzle with one solution has {FEWEST} to {CELLS} givens",
                         got=givens)  # fmt: skip
    random = np.random.default_rng(seed)
    found: list[Grids] = []
    while len(found) < count:
        grid = of[random.integers(len(of))]
        puzzle = _emptied(grid, givens, random)
        if np.count_nonzero(puzzle) == givens:
            found.append(np.concatenate([puzzle, grid]))
    return np.array(found).reshape(count, 2 * CELLS)


def _emptied(grid: Grids, givens: int, random: np.random.Generator) -> Grids:
    """With ``givens`` cells, or with more that all are needed."""
    puzzle = grid.copy()
    for cell in random.permutation(CELLS):
        if np.count_nonzero(puzzle) == givens:
            break
        puzzle[cell] = 0
        if len(solutions(puzzle)) > 1:
            puzzle[cell] = grid[cell]
    return puzzle


def published_puzzles(givens: int) -> Grids:
    """The 108 published puzzles with this many givens; shape (108, 32).

    Args:
        givens: 4, 5, 7, 8, 9, 10 or 12.

    Raises:
        MissingTableError: the file is not on this machine.
        DataError: a row that is no puzzle with its one solution.
    """
    from parsimony.papers.tables import published

    name = f"dream_planning/sudoku_4x4_{givens}.jsonl"
    return read(published(name, ORIGIN), name)


def read(table: pd.DataFrame, file: str) -> Grids:
    """Puzzles of a table with the columns ``input`` and ``output``; shape (rows, 32).

    Args:
        table: cells are digits, line ends are ignored; indexed by row number.
        file: for errors.

    Raises:
        DataError: a missing column; a cell that is not 16 digits of 0 to 4; an output that is not
            the one solution of its input.
    """
    from parsimony.core.data.files import require_column

    for column in ("input", "output"):
        require_column(table, column, file)
    found = []
    for number, puzzle, grid in zip(table.index, table["input"], table["output"], strict=True):
        cells = [_cells(value, file, number, column) for value, column in
                 ((puzzle, "input"), (grid, "output"))]  # fmt: skip
        solved = solutions(cells[0])
        if len(solved) != 1 or (solved[0] != cells[1]).any():
            raise DataError(
                f"the output must be the one solution of the input, which has {len(solved)}",
                file=file, row=number, column="output", got=grid,
            )  # fmt: skip
        found.append(np.concatenate(cells))
    return np.array(found)


def _cells(value: object, file: str, row: int, column: str) -> Grids:
    digits = str(value).replace("\n", "")
    if len(digits) != CELLS or set(digits) - set("01234"):
        raise DataError("a 4 x 4 Sudoku is 16 digits of 0 to 4", file=file, row=row, column=column,
                        got=value)  # fmt: skip
    return np.array([int(digit) for digit in digits], dtype=np.uint8)


def tokens(rows: Grids) -> torch.Tensor:
    """Cells as the ids of their ASCII digits; int64, of the same shape."""
    import torch

    return torch.from_numpy(rows.astype(np.int64) + ord("0"))


def solved(model: Any, rows: Grids, steps: int = CELLS, **how: Any) -> npt.NDArray[np.bool_]:
    """Which puzzles a masked-diffusion model solves exactly; shape (rows,). Its mean is the rate.

    Args:
        model: a ``MaskedDiffusionLM`` with tokens of ASCII.
        rows: puzzles with their grids, shape (rows, 32).
        steps: that an answer is written in, 1 to 16.
        how: further fields of ``Sampling``.
    """
    from parsimony.models.masked_diffusion import Sampling, sample

    ids = tokens(rows)
    settings = Sampling(CELLS, CELLS, steps, **how)
    answers = sample(model, ids[:, :CELLS], settings).cpu()
    found: npt.NDArray[np.bool_] = (answers == ids[:, CELLS:]).all(1).numpy()
    return found
