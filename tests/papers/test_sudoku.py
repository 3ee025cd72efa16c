"""Grids, puzzles, published rows, and the rate at which a model solves them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import DataError, InputError
from parsimony.papers import sudoku

torch = pytest.importorskip("torch")

PUBLISHED = Path(os.environ["PARSIMONY_DATA"]) / "dream_planning"


def units(grid: np.ndarray) -> list[set[int]]:
    square = grid.reshape(4, 4)
    boxes = [square[r : r + 2, c : c + 2].ravel() for r in (0, 2) for c in (0, 2)]
    return [set(unit.tolist()) for unit in (*square, *square.T, *boxes)]


def test_there_are_288_grids() -> None:
    found = sudoku.grids()
    assert found.shape == (288, 16)
    assert len(np.unique(found, axis=0)) == 288
    assert all(unit == {1, 2, 3, 4} for grid in found for unit in units(grid))


def test_solutions_agree_with_the_givens() -> None:
    assert len(sudoku.solutions(np.zeros(16, dtype=np.uint8))) == 288
    one = np.zeros(16, dtype=np.uint8)
    one[5] = 3
    assert len(sudoku.solutions(one)) == 288 / 4
    grid = sudoku.grids()[100]
    assert (sudoku.solutions(grid) == grid).all()
    one[4] = 3  # the same digit twice in a row
    assert len(sudoku.solutions(one)) == 0


@pytest.mark.parametrize("givens", [4, 7, 16])
def test_puzzles_have_one_solution(givens: int) -> None:
    train, _ = sudoku.split(48)
    found = sudoku.puzzles(train, givens, 20, seed=3)
    assert found.shape == (20, 32)
    for puzzle, grid in zip(found[:, :16], found[:, 16:], strict=True):
        assert np.count_nonzero(puzzle) == givens
        assert (sudoku.solutions(puzzle) == grid).all() and (train == grid).all(1).any()
    assert (sudoku.puzzles(train, givens, 20, seed=3) == found).all()
    assert (sudoku.puzzles(train, givens, 20, seed=4) != found).any()
    assert sudoku.puzzles(train, givens, 0).shape == (0, 32)


def test_grids_held_out_are_others() -> None:
    train, test = sudoku.split(48, seed=1)
    assert len(train) == 240 and len(test) == 48
    assert len(np.unique(np.concatenate([train, test]), axis=0)) == 288
    assert (sudoku.split(48, seed=2)[1] != test).any()


@pytest.mark.parametrize("count", [0, 288])
def test_some_grids_must_be_left_on_both_sides(count: int) -> None:
    with pytest.raises(
        InputError, match=f"1 to 287 of the 288 grids can be held out, but got {count}"
    ):
        sudoku.split(count)


@pytest.mark.parametrize("givens", [3, 17])
def test_givens_out_of_range_are_refused(givens: int) -> None:
    text = f"a 4 x 4 puzzle with one solution has 4 to 16 givens, but got {givens}"
    with pytest.raises(InputError, match=text):
        sudoku.puzzles(sudoku.grids(), givens, 1)


def test_rows_are_read() -> None:
    table = pd.DataFrame(
        {"input": ["1003\n0300\n3210\n4132"], "output": ["1423\n2341\n3214\n4132"]}, index=[1]
    )
    (row,) = sudoku.read(table, "a.jsonl")
    assert "".join(map(str, row)) == "10030300321041321423234132144132"
    assert sudoku.tokens(row).tolist() == list(b"10030300321041321423234132144132")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"input": "1003", "output": "1" * 16},
         r"a\.jsonl, row 7, column 'input': a 4 x 4 Sudoku is 16 digits of 0 to 4, but got '1003'"),
        ({"input": "1003030032104132", "output": None}, "column 'output': .*but got None"),
        ({"input": "1003030032104132", "output": "1423234132144135"}, "column 'output': a 4 x 4"),
        ({"input": "1003030032104132", "output": "1423234132144123"},
         "row 7, column 'output': the output must be the one solution of the input, which has 1"),
        ({"input": "0" * 16, "output": "1423234132144132"}, "of the input, which has 288"),
        ({"input": "1" * 16, "output": "1423234132144132"}, "of the input, which has 0"),
        ({"puzzle": "1", "output": "1"}, r"a\.jsonl: there is no column 'input'"),
    ],
)  # fmt: skip
def test_bad_rows_are_named(row: dict[str, object], text: str) -> None:
    with pytest.raises(DataError, match=text):
        sudoku.read(pd.DataFrame([row], index=[7]), "a.jsonl")


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published puzzles are not here")
@pytest.mark.parametrize("givens", [4, 5, 7, 8, 9, 10, 12])
def test_published_puzzles_have_one_solution(givens: int) -> None:
    found = sudoku.published_puzzles(givens)
    assert found.shape == (108, 32)
    assert (np.count_nonzero(found[:, :16], axis=1) == givens).all()


def test_a_model_that_solves_some_is_told_which() -> None:
    """Knows three grids by heart and takes the first that agrees with the givens."""
    from types import SimpleNamespace

    known = sudoku.grids()[[3, 50, 200]]

    class Heart(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.config = SimpleNamespace(mask_token_id=128, vocab_size=129)

        def forward(self, input_ids: torch.Tensor, attention_mask: object = None) -> object:
            logits = torch.zeros(*input_ids.shape, 129)
            for row, text in enumerate(input_ids[:, :16].numpy() - ord("0")):
                fits = [grid for grid in known if ((grid == text) | (text == 0)).all()]
                if fits:
                    logits[row, range(16, 32), sudoku.tokens(fits[0])] = 9.0
            return SimpleNamespace(logits=logits)

    own = sudoku.puzzles(known, 6, 5)
    others = sudoku.puzzles(np.delete(sudoku.grids(), [3, 50, 200], axis=0), 6, 4)
    rows = np.concatenate([own, others])
    for steps in (1, 16):
        assert sudoku.solved(Heart(), rows, steps).tolist() == [True] * 5 + [False] * 4
