"""The study of quantized diffusion models: its table, its words, and a run that goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parsimony.core.console import Console
from parsimony.core.run import Run, provenance
from parsimony.papers import diffusion_study
from parsimony.papers.diffusion_study import Study, label, page


@pytest.mark.parametrize(
    ("drop", "word"),
    [(-0.1, "negligible"), (0.0099, "negligible"), (0.01, "moderate"), (0.04, "moderate"),
     (0.041, "significant")],
)  # fmt: skip
def test_words_are_the_papers(drop: float, word: str) -> None:
    assert label(drop) == word


def test_each_method_is_tried_at_the_bits_it_is_made_for() -> None:
    assert Study(methods=("rtn", "gptq", "duquant"), bits=("w2g32", "w4a4")).specs == [
        "rtn:w2g32", "rtn:w4a4", "gptq:w2g32", "duquant:w4a4",
    ]  # fmt: skip


def test_a_row_says_how_much_is_lost_in_the_direction_of_its_task() -> None:
    cells = {
        ("base", "full", "text"): np.full(8, 2.0), ("base", "rtn:w2g32", "text"): np.full(8, 2.2),
        ("base", "full", "sudoku"): np.ones(8), ("base", "rtn:w2g32", "sudoku"): np.full(8, 0.75),
    }  # fmt: skip
    cells["base", "rtn:w8a8", "text"] = np.full(8, 1.9)
    assert diffusion_study._row("base", "rtn:w8a8", "text", cells)["label"] == "better"
    text = diffusion_study._row("base", "rtn:w2g32", "text", cells)
    sudoku = diffusion_study._row("base", "rtn:w2g32", "sudoku", cells)
    assert text["drop"] == pytest.approx(0.1) and text["label"] == "significant"
    assert sudoku["drop"] == pytest.approx(0.25) and sudoku["difference"]["estimate"] == -0.25


def test_a_study_fills_its_table_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(steps=6, samples=4, puzzles=4, methods=("rtn", "quarot"), bits=("w2g32", "w8a8"))
    folder = Run.create(tmp_path / "run", provenance(study, Study()), 0)
    result = diffusion_study.run(study, folder, Console(quiet=True))
    assert [(r["model"], r["method"], r["bits"], r["task"]) for r in result["table"]] == [
        (kind, method, bits, task)
        for kind in ("base", "tuned")
        for method, bits in (("rtn", "w2g32"), ("rtn", "w8a8"), ("quarot", "w8a8"))
        for task in ("text", "sudoku")
    ]
    two, eight = (next(r for r in result["table"] if r["bits"] == b) for b in ("w2g32", "w8a8"))
    assert abs(eight["difference"]["estimate"]) < abs(two["difference"]["estimate"])
    shown = page(result)
    assert [figure.title for figure in shown.sections[1].figures] == [
        "Largest input over the median, base model", "Largest input over the median, tuned model",
    ]  # fmt: skip
    assert all(layer["tokens"] == 4 * 64 for layer in result["outliers"]["base"])

    def never(*_: object, **__: object) -> None:
        raise AssertionError("what is there is not done again")

    monkeypatch.setattr(diffusion_study, "_calibration", never)
    assert diffusion_study.run(study, folder, Console(quiet=True)) == result
