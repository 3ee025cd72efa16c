"""The chooser on measured rows says what a scan by hand says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from parsimony.adapt.evidence import LABEL, choose, pareto
from parsimony.core.errors import InputError

MADE = pd.DataFrame(
    {
        "experiment": ["a", "b", "c", "d", "e"],
        "mem": [20.0, 21.0, 30.0, 19.0, 18.0],
        "file": [5, 50, 500, 5, 4],
        "score": [0.4, 0.5, 0.6, None, 0.4],
    }
)
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "peft_method_comparison.csv"


def scan(rows: pd.DataFrame, best: str, limits: dict[str, float]) -> object:
    """The first best row by a plain loop."""
    found, record = None, -1.0
    for index, row in rows.iterrows():
        if all(row[c] <= limit for c, limit in limits.items()) and row[best] > record:
            found, record = index, row[best]
    return found


def front(rows: pd.DataFrame, large: list[str], small: list[str]) -> list[object]:
    kept = []
    for index, row in rows.iterrows():
        beaten = False
        for _, other in rows.iterrows():
            good = [other[c] >= row[c] for c in large] + [other[c] <= row[c] for c in small]
            better = [other[c] > row[c] for c in large] + [other[c] < row[c] for c in small]
            beaten |= all(good) and any(better)
        if not beaten and row[[*large, *small]].notna().all():
            kept.append(index)
    return kept


def test_the_best_within_limits_of_a_small_table() -> None:
    choice = choose(MADE, "score", {"mem": 25})
    assert list(choice.ranked.experiment) == ["b", "a", "e"]
    assert choice.rejected == {2: "mem 30 is more than 25", 3: "has no score"}
    assert choice.label == LABEL == "ranking of another model"
    assert list(choose(MADE, "mem", {"file": 5}, largest=False).ranked.experiment) == list("eda")


def test_the_front_of_a_small_table() -> None:
    assert list(pareto(MADE, ["score"], ["mem"]).experiment) == ["b", "c", "e"]
    assert list(pareto(MADE, [], ["mem", "file"]).experiment) == ["e"]


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda: choose(MADE, "score", {"mem": 1}),
            "no row keeps the limits, but got {'mem': 1}. The least there is: mem 18",
        ),
        (
            lambda: choose(MADE, "scor", {}),
            "there is no column 'scor'. Did you mean 'score'? Known: experiment, file, mem, score",
        ),
        (
            lambda: choose(MADE, "experiment", {}),
            "a column to compare holds numbers, but got 'experiment'",
        ),
        (lambda: pareto(MADE, [], []), "a front needs at least one column, but got []"),
        (
            lambda: choose(MADE[:0], "score", {}),
            "a choice needs at least one row, but got 'an empty table'",
        ),
    ],
)
def test_a_bad_question_gets_one_line(call, line: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == line


@pytest.mark.skipif(not REAL.is_file(), reason="the public rows are not on this machine")
@pytest.mark.parametrize("benchmark", ["MetaMathQA", "image-gen"])
@pytest.mark.parametrize(
    "limits",
    [{"mem_max_bytes": 20 * 2**30}, {"adapter_file_bytes": 5e6}, {"train_time_s": 1000.0}, {}],
)
def test_public_rows_as_a_scan_has_them(benchmark: str, limits: dict[str, float]) -> None:
    table = pd.read_csv(REAL)
    rows = table[table.benchmark == benchmark]
    best = "test_accuracy" if benchmark == "MetaMathQA" else "test_dino_similarity"
    assert choose(rows, best, limits).ranked.index[0] == scan(rows, best, limits)
    small = ["mem_max_bytes", "train_time_s", "adapter_file_bytes"]
    found = pareto(rows, [best], small)
    assert list(found.index) == front(rows, [best], small)
    assert 1 < len(found) < len(rows)


@pytest.mark.skipif(not REAL.is_file(), reason="the public rows are not on this machine")
def test_the_figures_that_the_surveys_sheet_quotes() -> None:
    table = pd.read_csv(REAL)
    rows = table[table.benchmark == "MetaMathQA"].set_index("experiment")
    for name, peak, accuracy in (
        ("full-finetuning/llama-3.2-3B-lr_0.00001", 36.2, 0.472),
        ("lora/llama-3.2-3B-rank32", 20.8, 0.478),
        ("lora/llama-3.2-3B-rank64-rslora", 21.0, 0.513),
        ("prefixtuning/llama-3.2-3B-lr_0.001", 20.4, 0.186),
        ("prefixtuning/llama-3.2-3B-lr_0.005_zero_init", 20.4, 0.358),
    ):
        assert abs(rows.mem_max_bytes[name] / 2**30 - peak) <= 0.05, name
        assert abs(rows.test_accuracy[name] - accuracy) <= 0.0005, name
    fastest = choose(rows, "train_time_s", {}, largest=False).ranked.train_time_s
    assert fastest.index[0] == "prefixtuning/llama-3.2-3B-tokens50-init_prefix-lr_0.005"
    assert fastest.index[-1] == "boft/llama-3.2-3B-default"
    assert (round(fastest.iloc[0]), round(fastest.iloc[-1])) == (878, 6926)
